"""What `fer_lightning.reproduce` says of the cells that it is going to run."""

from datetime import timedelta

from fer_lightning.cells import Cell, distinct
from fer_lightning.reproduction import on_gpu

#: States in the order in which they are named, with what is said of them.
STATES = {
    "there": "there", "counted": "counted, not trained", "open": "to run", "lacks data": "lack data",
    "needs a GPU": "need a GPU", "only at budget": "only at another budget", "refused": "refused", "done": "done",
    "failed": "failed",
}  # fmt: skip


def print_plan(cells: list[Cell], budget: str) -> None:
    """A line a table, then what cannot be run and why, then the number of runs and how long they take."""
    for table in dict.fromkeys(cell.row.table for cell in cells):
        own = [cell for cell in cells if cell.row.table == table]
        print(f"{table:18s} {counts(own)}{time_of(own)}")
    for state in ("lacks data", "needs a GPU", "only at budget", "refused"):
        name_reasons([cell for cell in cells if cell.state == state])
    todo = todo_of(cells)
    guess = any(cell.seconds and not cell.measured for cell in todo)
    how = " (an estimate, from the speeds of docs/models.md: 2 CPU cores)" if guess else ""
    if guess and on_gpu():
        how = " on two CPU cores (docs/models.md): the GPU needs a small part of it, the first run will tell"
    rows = sum(cell.state == "open" for cell in cells)
    shared = f" for {rows} results, which share some" if rows > len(todo) else ""
    print(f"\nbudget {budget}: {len(todo)} runs to make{shared}{time_of(todo) or ', no time'}{how}")


def todo_of(cells: list[Cell]) -> list[Cell]:
    """What is to be run: each run folder once, ensembles last of what they are made of."""
    return distinct(cell for cell in cells if cell.state == "open")


def time_of(cells: list[Cell]) -> str:
    """How long the open ones of these cells take, in words; "" where none is open."""
    todo = todo_of(cells)
    known = [cell.seconds for cell in todo if cell.seconds is not None]
    if not todo or not known:
        return ", seconds each" if todo else ""
    return f", about {span(sum(known))}"


def span(seconds: float) -> str:
    """Seconds as 1:02:03."""
    return str(timedelta(seconds=round(seconds)))


def name_reasons(cells: list[Cell]) -> None:
    """One line a reason, with the rows that share it."""
    for reason, state in dict.fromkeys((cell.reason, cell.state) for cell in cells):
        own = dict.fromkeys(cell.row.name for cell in cells if (cell.reason, cell.state) == (reason, state))
        print(f"{reason if reason.startswith(state) else f'{state}: {reason}'}: {', '.join(own)}")


def counts(cells: list[Cell]) -> str:
    """How many cells are in each state, in words."""
    found = {state: sum(cell.state == state for cell in cells) for state in STATES}
    return ", ".join(f"{number} {STATES[state]}" for state, number in found.items() if number)
