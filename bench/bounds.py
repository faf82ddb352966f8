"""What this machine can do, measured in this run (peak.c), and so the least time a row can take.

A row's bound is the longer of its FLOPs at the FMA peak of its threads and its bytes at the bandwidth of a buffer as large as
they are: rows whose data stays in cache are held against the cache.  Rows that write much are held against copying.
"""
import os
import platform
import subprocess

import ingot

FOLDER = os.path.join(ingot.ROOT, "build", "bench")
HERE = os.path.dirname(os.path.abspath(__file__))


def build():
    """peak and loop.so, where their sources are newer."""
    os.makedirs(FOLDER, exist_ok=True)
    programs = (("peak.c", "peak", ["-pthread", "-ffp-contract=fast"]), ("loop.c", "loop.so", ["-shared", "-fPIC"]))
    for source, target, flags in programs:
        source, target = os.path.join(HERE, source), os.path.join(FOLDER, target)
        if not os.path.exists(target) or os.path.getmtime(target) < os.path.getmtime(source):
            subprocess.run([os.environ.get("CC", "cc"), "-O2", source, *flags, "-o", target], check=True)


class Machine:
    """Measures as it is asked and remembers; peak() measures anew each time and keeps the best of the run."""

    def __init__(self):
        with open("/proc/cpuinfo") as f:
            self.cpuinfo = f.read()
        self.lanes = 16 if "avx512f" in self.cpuinfo else 8
        self.peaks, self.bandwidths = {}, {}

    def measure(self, what, amount, threads):
        command = [os.path.join(FOLDER, "peak"), what, str(amount), str(threads)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    def peak(self, threads):
        """GFLOP/s."""
        self.peaks[threads] = max(self.peaks.get(threads, 0.0), self.measure("fma", self.lanes, threads))
        return self.peaks[threads]

    def bandwidth(self, what, amount, threads):
        """GB/s at that size, rounded up to an eighth of a power of two: near a cache's size half more is another figure."""
        amount = max(1 << 14, min(1 << 30, amount))
        step = 1 << (amount.bit_length() - 4)
        size = (amount + step - 1) // step * step
        key = f"{what} {size} {threads}"
        if key not in self.bandwidths:
            self.bandwidths[key] = self.measure(what, size, threads)
        return self.bandwidths[key]

    def bound(self, work, threads):
        """{"us", "by"}: `work` from frozen.count."""
        amount = work["read"] + work["written"]
        what = "copy" if 4 * work["written"] >= work["read"] else "read"
        flops = work["flops"] / self.peak(threads) * 1e-3
        data = amount / self.bandwidth(what, amount, threads) * 1e-3
        return {"us": max(flops, data), "by": "flops" if flops >= data else what}

    def describe(self):
        def line(name):
            return next((x.partition(":")[2].strip() for x in self.cpuinfo.splitlines() if x.startswith(name)), "")
        caches = {}
        root = "/sys/devices/system/cpu/cpu0/cache"
        for index in sorted(os.listdir(root)) if os.path.isdir(root) else []:
            def read(name, index=index):
                with open(os.path.join(root, index, name)) as f:
                    return f.read().strip()
            if index.startswith("index") and read("type") != "Instruction":
                caches["L" + read("level")] = read("size")
        with open("/proc/meminfo") as f:
            memory = int(f.readline().split()[1]) >> 20
        flags = line("flags").split()
        return {"cpu": line("model name"), "vendor": line("vendor_id"), "family": line("cpu family"), "model": line("model"),
                "processors": os.cpu_count(), "caches": caches, "memory_gb": memory, "f32_lanes": self.lanes,
                "features": [x for x in ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile") if x in flags],
                "hypervisor": "hypervisor" in flags, "system": f"{platform.system()} {platform.release()}",
                "load": os.getloadavg()}
