"""The dashboards of grafana/dashboards/ on a page of its own, for machines without Grafana."""
