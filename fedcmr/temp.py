def print_roles(console, groups):
    for g in groups: console.print(g)
def print_run(console, summary):
    console.print(summary["mean"]); console.print(summary["controls"])
