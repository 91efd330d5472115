#!/usr/bin/env python3
"""Writes fairlead.json, the Grafana dashboard, from the rows below.

    contrib/grafana/dashboard.py           writes it beside this script
    contrib/grafana/dashboard.py --check   says whether it is as this script would write it

A dashboard is mostly repetition; the rows say what differs.
"""
import json
import pathlib
import sys

TARGET = pathlib.Path(__file__).with_name("fairlead.json")
WIDTH = 24
SELECT = 'instance=~"$instance"'

# (title, [(panel, unit, kind, [(legend, query)])]); {s} stands for the chosen instances.
ROWS = [
    ("Is it the line or the backend?", [
        ("Ready", "short", "stat", [("{{instance}}", "fairlead_ready{{{s}}}")]),
        ("Backends up", "short", "stat",
         [("{{service}} {{backend}}", "fairlead_backend_up{{{s}}}")]),
        ("Loss of the line", "percentunit", "timeseries",
         [("{{peer}} {{address}}", "fairlead_session_loss_ratio{{{s}}}")]),
        ("Round trip of the line", "s", "timeseries",
         [("{{peer}} {{address}}", "fairlead_session_rtt_seconds{{{s}}}")]),
    ]),
    ("Players", [
        ("TCP streams", "short", "timeseries",
         [("{{service}}", "fairlead_service_streams{{{s}}}")]),
        ("UDP flows", "short", "timeseries", [("{{service}}", "fairlead_flows{{{s}}}")]),
        ("Payload", "Bps", "timeseries",
         [("{{service}} {{direction}}", "rate(fairlead_bytes_total{{{s}}}[$__rate_interval])")]),
        ("Players of each backend", "short", "timeseries", [
            ("{{backend}} streams", "fairlead_backend_streams{{{s}}}"),
            ("{{backend}} flows", "fairlead_backend_flows{{{s}}}"),
        ]),
    ]),
    ("The line", [
        ("Wire", "Bps", "timeseries",
         [("{{instance}} {{direction}}",
           "rate(fairlead_wire_bytes_total{{{s}}}[$__rate_interval])")]),
        ("Packets lost, and made good by redundancy", "pps", "timeseries", [
            ("{{instance}} lost", "rate(fairlead_packets_lost_total{{{s}}}[$__rate_interval])"),
            ("{{instance}} made good",
             "rate(fairlead_packets_recovered_total{{{s}}}[$__rate_interval])"),
        ]),
        ("Redundancy, share of what is sent", "percentunit", "timeseries",
         [("{{instance}}",
           "rate(fairlead_redundancy_bytes_total{{{s}}}[$__rate_interval]) / ignoring(direction) "
           'rate(fairlead_wire_bytes_total{{{s},direction="sent"}}[$__rate_interval])')]),
        ("Pacing rate", "Bps", "timeseries",
         [("{{peer}} {{address}}", "fairlead_session_pacing_bytes_per_second{{{s}}}")]),
    ]),
    ("The processes", [
        ("Thrown away, by reason", "pps", "timeseries",
         [("{{instance}} {{reason}}",
           "rate(fairlead_drops_total{{{s}}}[$__rate_interval]) > 0")]),
        ("Sessions", "short", "timeseries", [
            ("{{instance}}", "fairlead_sessions{{{s}}}"),
            ("{{instance}} post-quantum", "fairlead_sessions_post_quantum{{{s}}}"),
        ]),
        ("Memory held for peers", "bytes", "timeseries", [
            ("{{instance}} accounts", "fairlead_held_bytes{{{s}}}"),
            ("{{instance}} buffers", "fairlead_buffered_bytes{{{s}}}"),
        ]),
        ("Packets that the kernel refused", "pps", "timeseries",
         [("{{instance}}", "rate(fairlead_send_refused_total{{{s}}}[$__rate_interval])")]),
    ]),
]


def panel(number, title, unit, kind, queries, x, y, width):
    """One panel of `width` columns."""
    datasource = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "id": number, "title": title, "type": kind, "datasource": datasource,
        "gridPos": {"x": x, "y": y, "w": width, "h": 8},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": datasource, "legendFormat": legend,
             "expr": query.format(s=SELECT)}
            for index, (legend, query) in enumerate(queries)
        ],
    }


def panels():
    """All rows, each with its panels side by side."""
    made, number, y = [], 1, 0
    for title, row in ROWS:
        made.append({"id": number, "title": title, "type": "row", "collapsed": False,
                     "panels": [], "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}})
        number, y, width = number + 1, y + 1, WIDTH // len(row)
        for index, (name, unit, kind, queries) in enumerate(row):
            made.append(panel(number, name, unit, kind, queries, index * width, y, width))
            number += 1
        y += 8
    return made


def dashboard():
    """The whole page, as Grafana 9 and later import it."""
    return {
        "uid": "fairlead", "title": "Fairlead", "tags": ["fairlead"], "schemaVersion": 37,
        "timezone": "browser", "refresh": "10s", "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [
            {"name": "datasource", "label": "Data source", "type": "datasource",
             "query": "prometheus"},
            {"name": "instance", "label": "Process", "type": "query", "multi": True,
             "includeAll": True, "refresh": 2,
             "datasource": {"type": "prometheus", "uid": "${datasource}"},
             "query": "label_values(fairlead_build_info, instance)",
             "current": {"text": "All", "value": "$__all"}},
        ]},
        "panels": panels(),
    }


def main():
    text = json.dumps(dashboard(), indent=1) + "\n"
    if sys.argv[1:] == ["--check"]:
        if TARGET.read_text() != text:
            sys.exit("fairlead.json is stale: run contrib/grafana/dashboard.py")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        TARGET.write_text(text)


if __name__ == "__main__":
    main()
