"""Profiles a topic as a Python consumer would, by producer and schema version.

Reads records in the registry's framing with confluent-kafka, decodes them with fastavro, and hands
them to whylogs or datasketches in batches. Prints one JSON line: records, CPU and wall seconds.
Not a tool, only the other side of the comparison that run.sh makes.
"""

import argparse
import gc
import io
import json
import time
from collections import Counter, defaultdict
from importlib.metadata import version

from confluent_kafka import Consumer, TopicPartition
from fastavro import parse_schema, schemaless_reader

PRODUCER_HEADER = "app"
# Messages asked for in one call.
CALL = 10_000


def reader_schema(path):
    """A schema whose times stay integers: making datetime objects would cost more."""
    with open(path, encoding="utf-8") as file:
        schema = json.load(file)

    def plain(node):
        if isinstance(node, dict):
            return {key: plain(value) for key, value in node.items() if key != "logicalType"}
        return [plain(value) for value in node] if isinstance(node, list) else node

    return parse_schema(plain(schema))


class Whylogs:
    """One profile a group, fed with data frames."""

    packages = ["whylogs", "pandas", "numpy"]
    batch = 20_000

    def __init__(self):
        import pandas
        from whylogs.core import DatasetProfile

        self.frame = pandas.DataFrame
        self.profiles = defaultdict(DatasetProfile)

    def take(self, group, rows):
        self.profiles[group].track(self.frame(rows))


class Datasketches:
    """Quantiles of numbers, frequent texts, and distinct values of both; a batch goes to the
    sketches by column, and each of its values once where the sketch takes no arrays."""

    packages = ["datasketches", "numpy"]
    # Small, so that the rows are still in the processor's cache.
    batch = 2_000

    def __init__(self):
        import datasketches
        import numpy

        self.numpy = numpy
        self.quantiles = defaultdict(lambda: datasketches.kll_doubles_sketch(200))
        self.frequent = defaultdict(lambda: datasketches.frequent_strings_sketch(10))
        self.distinct = defaultdict(lambda: datasketches.hll_sketch(12))

    def take(self, group, rows):
        for field in rows[0]:
            place = (group, field)
            values = [value for row in rows if (value := row[field]) is not None]
            if not values:
                continue
            if isinstance(values[0], str):
                values = Counter(values)
                sketch = self.frequent[place]
                for value, count in values.items():
                    sketch.update(value, count)
            else:
                values = self.numpy.array(values, dtype=self.numpy.float64)
                self.quantiles[place].update(values)
                values = self.numpy.unique(values).tolist()
            sketch = self.distinct[place]
            for value in values:
                sketch.update(value)


class Nothing:
    """Only reads and decodes: what Python costs before anything is counted."""

    packages = []
    batch = 2_000

    def take(self, group, rows):
        pass


TOOLS = {"whylogs": Whylogs, "datasketches": Datasketches, "nothing": Nothing}


def consumer(arguments):
    client = Consumer(
        {
            "bootstrap.servers": arguments.brokers,
            "group.id": "bench-peers",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 5,
            "queued.max.messages.kbytes": 65536,
        }
    )
    partitions = client.list_topics(arguments.topic, timeout=30).topics[arguments.topic].partitions
    client.assign([TopicPartition(arguments.topic, partition, 0) for partition in partitions])
    return client


def run(arguments, tool, schemas):
    client = consumer(arguments)
    waiting = defaultdict(list)
    seen = 0
    while seen < arguments.records:
        for message in client.consume(CALL, timeout=5):
            if message.error():
                raise SystemExit(message.error().str())
            payload = message.value()
            schema = int.from_bytes(payload[1:5], "big")
            body = io.BytesIO(payload)
            body.seek(5)
            group = (dict(message.headers())[PRODUCER_HEADER], schema)
            rows = waiting[group]
            rows.append(schemaless_reader(body, schemas[schema], None))
            seen += 1
            if len(rows) == tool.batch:
                tool.take(group, rows)
                rows.clear()
    for group, rows in waiting.items():
        if rows:
            tool.take(group, rows)
    client.close()
    return seen, len(waiting)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--tool", choices=TOOLS, required=True)
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--schema", action="append", help="ID=FILE", required=True)
    arguments = parser.parse_args()
    files = (pair.split("=", 1) for pair in arguments.schema)
    schemas = {int(number): reader_schema(path) for number, path in files}
    tool = TOOLS[arguments.tool]()
    # Nothing here makes cycles, and looking for them costs a tenth.
    gc.disable()
    cpu, wall = time.process_time(), time.perf_counter()
    records, groups = run(arguments, tool, schemas)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    packages = ["confluent-kafka", "fastavro", *tool.packages]
    said = {
        "tool": arguments.tool,
        "records": records,
        "groups": groups,
        "cpu_s": round(cpu, 2),
        "wall_s": round(wall, 2),
        "versions": ", ".join(f"{name} {version(name)}" for name in packages),
    }
    print(json.dumps(said))


main()
