"""After a campaign: is the store what its clients were promised?

The store was empty before and nobody else wrote. Every write took one revision, so with A acknowledged and U
unknown outcomes:  A <= revision - 1 <= A + U, each acknowledged tag stands at the revision it was acknowledged
with, every tag was written once (version 1), and each register's version counts its writes.
"""

from array import array

from harness import api

PAGE = 5000
UNKNOWN, REFUSED = -1, -2


class Log:
    """What the load client recorded: per writer, number of the write -> revision, UNKNOWN or REFUSED."""

    def __init__(self, path):
        self.tags = {}
        self.registers = {}
        self.acknowledged = self.unknown = self.refused = 0
        with open(path, encoding="ascii") as file:
            for line in file:
                self._record(*line.split())

    def _record(self, verdict, kind, writer, number, detail):
        if verdict == "A":
            self.acknowledged += 1
            revision = int(detail)
        elif verdict == "U":
            self.unknown += 1
            revision = UNKNOWN
        else:
            self.refused += 1
            revision = REFUSED
        writer, number = int(writer), int(number)
        table = self.tags if kind == "S" else self.registers
        series = table.setdefault(writer, array("q"))
        while len(series) <= number:
            series.append(REFUSED)  # numbers of the other kind and what was never sent
        series[number] = revision


def pages(server, prefix, revision):
    """Every key with a prefix, at one revision."""
    key, end = prefix, prefix[:-1] + bytes([prefix[-1] + 1])
    while True:
        request = api.Range(key=key, range_end=end, revision=revision, limit=PAGE)
        answer = server.call(api.RANGE, request.SerializeToString())
        if not answer.ok:
            raise RuntimeError(f"reading {key!r}: {answer}")
        yield from answer.message.kvs
        if not answer.message.more:
            return
        key = answer.message.kvs[-1].key + b"\0"


class Verifier:
    """Collects what is wrong as sentences in `wrong`; `counts` has the figures."""

    def __init__(self, log, server):
        self.log = log
        self.server = server
        self.wrong = []
        self.counts = {}
        self.revisions = set()

    def run(self):
        answer = self.server.call(api.RANGE, api.Range(key=b"/reg/").SerializeToString())
        if not answer.ok:
            self.wrong.append(f"the store can't be read: {answer}")
            return
        self.revision = answer.message.header.revision
        tags = self._check_tags()
        applied = self._check_registers()
        self._check_acknowledged_revisions()
        self._check_totals(tags, applied)

    def _check_tags(self):
        missing = {writer: {number for number, revision in enumerate(series) if revision > 0}
                   for writer, series in self.log.tags.items()}
        count = 0
        for kv in pages(self.server, b"/tag/", self.revision):
            count += 1
            writer, number = (int(part) for part in kv.key.split(b"/")[2:])
            self._check_tag(kv, writer, number)
            missing.get(writer, set()).discard(number)
        for writer, numbers in missing.items():
            for number in sorted(numbers)[:5]:
                self.wrong.append(f"LOST: tag {writer},{number} was acknowledged at revision "
                                  f"{self.log.tags[writer][number]} and is not there")
        return count

    def _check_tag(self, kv, writer, number):
        series = self.log.tags.get(writer, ())
        promised = series[number] if number < len(series) else REFUSED
        if kv.value != b"%d,%d" % (writer, number):
            self.wrong.append(f"tag {writer},{number} has the value {kv.value!r}")
        if kv.version != 1 or kv.create_revision != kv.mod_revision:
            self.wrong.append(f"TWICE: tag {writer},{number} has version {kv.version}, created at "
                              f"{kv.create_revision}, modified at {kv.mod_revision}")
        if promised == REFUSED:
            self.wrong.append(f"tag {writer},{number} is there, though it was refused or never sent")
        elif promised not in (UNKNOWN, kv.mod_revision):
            self.wrong.append(f"tag {writer},{number} was acknowledged at {promised} and stands at {kv.mod_revision}")
        if kv.mod_revision in self.revisions:
            self.wrong.append(f"two writes share revision {kv.mod_revision}, one is tag {writer},{number}")
        self.revisions.add(kv.mod_revision)

    def _check_registers(self):
        """Versions count writes. Returns their sum."""
        applied = 0
        found = {int(kv.key.split(b"/")[2]): kv for kv in pages(self.server, b"/reg/", self.revision)}
        for writer, series in self.log.registers.items():
            acknowledged = [number for number, revision in enumerate(series) if revision > 0]
            unknown = [number for number, revision in enumerate(series) if revision == UNKNOWN]
            kv = found.get(writer)
            if kv is None:
                if acknowledged:
                    self.wrong.append(f"LOST: register {writer} is not there")
                continue
            applied += kv.version
            if not len(acknowledged) <= kv.version <= len(acknowledged) + len(unknown):
                self.wrong.append(f"register {writer} has version {kv.version} after {len(acknowledged)} acknowledged "
                                  f"and {len(unknown)} unknown writes")
            self._check_last(writer, kv, series, acknowledged)
        return applied

    def _check_last(self, writer, kv, series, acknowledged):
        number = int(kv.value)
        last = acknowledged[-1] if acknowledged else -1
        if number < last:
            self.wrong.append(f"register {writer} holds {number}, {last} was acknowledged")
        elif series[number] == REFUSED or (series[number] > 0 and series[number] != kv.mod_revision):
            self.wrong.append(f"register {writer} holds {number} at {kv.mod_revision}, recorded as {series[number]}")

    def _check_acknowledged_revisions(self):
        """Registers overwrite: their acknowledged revisions must be unique and nobody else's, too."""
        for writer, series in self.log.registers.items():
            for number, revision in enumerate(series):
                if revision <= 0:
                    continue
                if revision in self.revisions:
                    self.wrong.append(f"two writes share revision {revision}, one is register {writer},{number}")
                self.revisions.add(revision)

    def _check_totals(self, tags, applied):
        acknowledged, unknown = self.log.acknowledged, self.log.unknown
        self.counts = {"revision": self.revision, "acknowledged": acknowledged, "unknown": unknown,
                       "refused": self.log.refused, "tags": tags, "register writes": applied}
        if not acknowledged <= self.revision - 1 <= acknowledged + unknown:
            self.wrong.append(f"revision {self.revision} after {acknowledged} acknowledged and {unknown} unknown writes")
        if tags + applied != self.revision - 1:
            self.wrong.append(f"{tags} tags and {applied} register writes, but {self.revision - 1} revisions")
