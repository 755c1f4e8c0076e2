"""What was measured, round by round."""
import collections
import statistics


def spread(values, format_="{:,.0f}"):
    """The median, with the least and the most."""
    low, high = min(values), max(values)
    middle = format_.format(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({format_.format(low)}–{format_.format(high)})"


class Figures:
    """A table: for each row and column a value of each round."""

    def __init__(self, title, row="outstanding"):
        self.title, self.row, self.values = title, row, collections.defaultdict(list)

    def add(self, row, column, value):
        self.values[row, column].append(value)

    def print(self, format_="{:,.0f}"):
        rows, columns = ({key[at]: None for key in self.values} for at in (0, 1))
        cells = [[self.row, *columns]]
        for row in rows:
            values = (self.values.get((row, column)) for column in columns)
            cells.append([str(row)] + [spread(each, format_) if each else "–" for each in values])
        widths = [max(len(line[at]) for line in cells) for at in range(len(columns) + 1)]
        print(f"\n{self.title}: median (least–most)")
        for line in cells:
            print("  " + "  ".join(cell.rjust(width) for cell, width in zip(line, widths)), flush=True)

    def ratio(self, what, row, column, other, goal):
        """One for each round: what came close together."""
        pairs = zip(self.values[row, column], self.values[row, other])
        ratios = [mine / peers for mine, peers in pairs]
        print(f"  {what}: {spread(ratios, '{:.2f}')}; to reach: {goal}", flush=True)


def in_turn(columns, round_):
    """The measurements of a round; every other round goes backwards, so that none always follows the same one."""
    return list(columns.items())[::-1 if round_ % 2 else 1]
