"""What Prometheus and Grafana need to watch a caudal: objectives, alerts, a dashboard; all of it generated.

`python -m caudal_ops` writes `ops/` again. One template makes the rules, with a time scale: at 60 an hour passes in a
minute, so that tests can see an alert fire that takes hours in production.
"""
