from __future__ import annotations
import sys
def main() -> None:
    from caudal_simulation import nature
    nature.take_over()
    import logging
    sys.unraisablehook=lambda *_:None
    logging.disable(logging.CRITICAL) if sys.argv[1]!="1" else logging.basicConfig(level=logging.WARNING)
    from caudal_simulation.history import play
    import time as t
    from time import perf_counter
    n=int(sys.argv[1]); s0=int(sys.argv[2]) if len(sys.argv)>2 else 1
    b=perf_counter(); bad=0
    for seed in range(s0,s0+n):
        h=play(seed)
        if h.violations:
            bad+=1
            if bad<6:
                print(seed,h.commands,h.violations[:4])
                if n==1: print("\n".join(h.told))
    e=perf_counter()-b
    print(n,"histories", n/e*60,"per min", bad, "bad", h.commands, dict(h.faults))
