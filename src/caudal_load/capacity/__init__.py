"""How much a caudal takes, what ends it, and what a wanted rate needs: a staircase of steps, laws fitted to them.

staircase   which steps: connections and rates by doubling, then by bisection around the knee
kept        a step and a run of them as small files
laws        throughput against concurrency, delay against rate, CPU against rate; least squares
model       all of it fitted to a run, with error bars by bootstrap, and what saturates first
check       every step predicted by the others
sizing      processes, cores, disk, memory and cost of a wanted rate
pages       the tables of docs/capacity.md, computed again from the files beside it
"""
