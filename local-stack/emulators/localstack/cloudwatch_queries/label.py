"""Dynamic labels: ${PROP('Dim.Shard')}, ${LABEL}, ${MAX} and the like."""

import re

from cloudwatch_queries.series import Metric, Series

DYNAMIC = re.compile(r"\$\{\s*(?:PROP\(\s*'(?P<property>[^']*)'\s*\)|(?P<summary>[A-Z]+))\s*\}")
SUMMARIES = {
    "MAX": max,
    "MIN": min,
    "SUM": sum,
    "AVG": lambda values: sum(values) / len(values),
    "FIRST": lambda values: values[0],
    "LAST": lambda values: values[-1],
}


def properties(metric: Metric, statistic: str, period: int, region: str) -> dict[str, str]:
    """What PROP knows of a metric."""
    return {
        "Namespace": metric.namespace,
        "MetricName": metric.name,
        "Stat": statistic,
        "Period": str(period),
        "Region": region,
        **{f"Dim.{name}": value for name, value in metric.dimensions},
    }


def resolve(label: str, series: Series) -> str:
    """`label` for this series; what is not known becomes empty, and no label at all the series' own."""

    def one(match: re.Match[str]) -> str:
        if match["property"] is not None:
            return series.properties.get(match["property"], "")
        if match["summary"] == "LABEL":
            return series.label
        values = [series.values[at] for at in sorted(series.values)]
        return f"{SUMMARIES[match['summary']](values):g}" if match["summary"] in SUMMARIES and values else ""

    return DYNAMIC.sub(one, label) if label else series.label
