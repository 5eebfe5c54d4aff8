"""Volume -> tokens -> frozen prefix -> adapted blocks -> features; with a task's head, volume or prefix -> logits."""
