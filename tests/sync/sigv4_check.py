#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""sigv4_check.py SIGV4_RANDOM [COUNT [SEED]]

Signs the random requests of sigv4_random again, by the rules of AWS's
documentation ("Create a signed AWS API request") and with nothing but
Python's own library, and compares.
"""
import hashlib
import hmac
import re
import subprocess
import sys
import time
from urllib.parse import quote


def pairs(text):
    return [tuple(bytes.fromhex(side) for side in pair.split("=")) for pair in text.split(",") if pair]


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def sign(access, secret, region, service, method, path, queries, headers, payload, seconds):
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds)).encode()
    uri = quote(path, safe="/-_.~").encode()
    encoded = [(quote(n, safe="-_.~").encode(), quote(v, safe="-_.~").encode()) for n, v in queries]
    query = b"&".join(n + b"=" + v for n, v in sorted(encoded))
    collected = {}
    for name, value in headers:
        collected.setdefault(name.lower(), []).append(re.sub(rb"\s+", b" ", value.strip()))
    names = b";".join(sorted(collected))
    lines = b"".join(n + b":" + b",".join(collected[n]) + b"\n" for n in sorted(collected))
    canonical = b"\n".join([method, uri, query, lines, names, payload])
    scope = b"/".join([stamp[:8], region, service, b"aws4_request"])
    text = b"\n".join([b"AWS4-HMAC-SHA256", stamp, scope,
                       hashlib.sha256(canonical).hexdigest().encode()])
    key = b"AWS4" + secret
    for part in scope.split(b"/"):
        key = mac(key, part)
    signature = mac(key, text).hex().encode()
    authorization = (b"AWS4-HMAC-SHA256 Credential=" + access + b"/" + scope +
                     b", SignedHeaders=" + names + b", Signature=" + signature)
    return uri + (b"?" + query if encoded else b""), authorization


def main():
    count = sys.argv[2] if len(sys.argv) > 2 else "5000"
    seed = sys.argv[3] if len(sys.argv) > 3 else "1"
    made = subprocess.run([sys.argv[1], count, seed], check=True, stdout=subprocess.PIPE).stdout
    n = 0
    for line in made.splitlines():
        fields = line.decode().split("\t")
        texts = [bytes.fromhex(f) for f in fields[:6]]
        expected = sign(*texts, pairs(fields[6]), pairs(fields[7]), fields[8].encode(),
                        int(fields[9]))
        if expected != (fields[10].encode(), fields[11].encode()):
            sys.exit(f"request {n}:\n{fields}\nshould be\n{expected}")
        n += 1
    if n != int(count):
        sys.exit(f"{n} requests instead of {count}")
    print(f"{n} requests signed alike")


main()
