"""A run's history: as a file, and as text where something was broken."""
import dataclasses
import json

CONTEXT_SECONDS, CONTEXT_MAX = 2, 40
SHOWN = {"client", "server", "call", "key", "sent", "done"}  # At the beginning of a line.


def save(path, operations, events, begin):
    """A line of JSON for each operation and for whatever befell a server, in the order of time."""
    lines = [(operation.sent, dataclasses.asdict(operation)) for operation in operations]
    lines += [(at, {"who": who, "event": what}) for at, who, what in events]
    with open(path, "w") as file:
        for at, line in sorted(lines, key=lambda pair: pair[0]):
            times = {name: round(line[name] - begin, 6) for name in ("sent", "done") if name in line}
            print(json.dumps({"at": round(at - begin, 6)} | line | times, ensure_ascii=False), file=file)


def describe(broken, operations, begin):
    """What was broken, and what was done to the key around that time."""
    yield f"{broken.promise}: {broken.key}: {broken.why}"
    first = min(operation.sent for operation in broken.operations) - CONTEXT_SECONDS
    last = max(operation.done for operation in broken.operations)
    proof = {id(operation) for operation in broken.operations}
    around = [operation for operation in sorted(operations, key=lambda operation: operation.sent)
              if operation.key == broken.key and operation.done >= first and operation.sent <= last
              and (operation.may_have_changed_it or id(operation) in proof)]
    for operation in around[-CONTEXT_MAX:]:
        more = {name: value for name, value in dataclasses.asdict(operation).items()
                if value not in (None, "", {}) and name not in SHOWN}
        yield (f"  {'>' if id(operation) in proof else ' '} {operation.sent - begin:.3f} to "
               f"{operation.done - begin:.3f} {operation.client} {operation.call} at {operation.server} {more}")
