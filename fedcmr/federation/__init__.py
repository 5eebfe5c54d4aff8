"""One client's visit, the door it leaves by, and the loop over rounds: where data, model, task and strategy meet."""
