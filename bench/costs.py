"""Runs a command and prints what it used: {"status", "seconds", "processor_s", "memory_mb", "said"} (the end of its errors).

A small process of its own, because Linux counts the memory of whoever forks a program as that program's.
usage: costs.py COMMAND ARGUMENT...
"""
import json
import os
import subprocess
import sys
import time

start = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
said = child.stderr.read().decode(errors="replace").strip()
_, status, used = os.wait4(child.pid, 0)
print(json.dumps({"status": os.waitstatus_to_exitcode(status), "seconds": time.perf_counter() - start,
                  "processor_s": used.ru_utime + used.ru_stime, "memory_mb": used.ru_maxrss / 1024, "said": said[-500:]}))
