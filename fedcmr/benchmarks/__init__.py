"""What a round costs, beside the least that its arithmetic must cost and beside the usual way of doing it."""
