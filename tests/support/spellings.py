"""Targets that no webhook and no proxy may reach, in each spelling that a resolver, browser or library accepts."""

# At least one address of each denied network, and each way to embed a v4 address in a v6 one.
_PRIVATE = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.254 100.64.0.1 100.100.100.200 100.127.255.254 127.0.0.1 127.0.0.2
127.255.255.254 169.254.0.1 169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.254 192.0.0.8 192.0.0.192
192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.51.100.1 203.0.113.7 224.0.0.1 240.0.0.1 255.255.255.255
168.63.129.16 :: ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:7f00:1
64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::7f00:1 100::1 2001:0:7f00:1::1 2001:db8::1 2002:7f00:1:: 3fff::1
4000::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1 10.1.2.3 172.31.255.255 100.127.255.255 fd00::1
192.168.1.1
"""
# Other spellings that resolve to the same: read by getaddrinfo, by browsers, or by IDNA.
_SPELLINGS = """
127.1 127.0.1 0x7f000001 0x7f.1 0X7F.0.0.1 2130706433 017700000001 0177.0.0.1 0 127.0.0.1. 0xa9fea9fe
2852039166 0251.0376.0251.0376 169.254.43518 127\u30020\u30020\u30021 \uff11\uff12\uff17.0.0.1
\u2460\u2461\u2466.0.0.1 [::1%25lo] [fe80::1%25eth0] [::ffff:127.0.0.1%25lo] [0:0:0:0:0:ffff:7f00:1]
[::ffff:169.254.169.254] localhost LOCALHOST localhost. api.localhost localhost.localdomain. redis redis.
metadata.google.internal metadata.google.internal. printer.local nas.home.arpa
\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3 0177.0.0.0x1 [0:0:0:0:0:0:0:1] [::127.0.0.1]
[::ffff:7f00:1] [64:ff9b::127.0.0.1] [2001:0:7f00:1::] [fe80::1%25lo]
"""
_ODD = """
https://user@hooks.example.com/ https://127.0.0.1@hooks.example.com/ https://hooks.example.com@127.0.0.1/
https://hooks.example.com:x@127.0.0.1/ https://127.0.0.1\\@hooks.example.com/
https://127.0.0.1%2f@hooks.example.com/ https://hooks.example.com#@127.0.0.1/ https://hooks.example.com:22/
https://hooks.example.com:6379/ https://hooks.example.com:0/ https://hooks.example.com:65536/
https://hooks.example.com:-1/ https://hooks.example.com:99999999999/ https://hooks.example.com./
https://.hooks.example.com/ https://127.0.0.1%00.example.com/ https://%31%32%37.0.0.1/
https://[::1]hooks.example.com/ https://[127.0.0.1]/ https://[::ffff:127.0.0.1/ https://127.0.0.1:443:443/
https:///127.0.0.1/ https:/127.0.0.1/ https://\u2100.example/ gopher://127.0.0.1:6379/_x file:///etc/passwd
dict://127.0.0.1:6379/ ftp://hooks.example.com/ http://hooks.example.com/ //127.0.0.1/ 127.0.0.1
jar:https://127.0.0.1/!/ https:127.0.0.1
"""


def literal(address: str) -> str:
    """As in a URL."""
    return f"[{address}]" if ":" in address else address


PRIVATE, SPELLINGS = _PRIVATE.split(), _SPELLINGS.split()
ODD = _ODD.split()  # whole URLs
HOSTS = [*map(literal, PRIVATE), *SPELLINGS]

# Targets that the proxy for fal's clients refuses, and the status of the refusal.
MALFORMED, OUTSIDE, NO_PATH = 400, 412, 404
OPEN_PROXY: list[tuple[bytes, int]] = [
    # a plainly different host
    (b"https://evil.com", OUTSIDE),
    (b"https://evil.com/fal-ai/kling-video", OUTSIDE),
    (b"https://evil.com/https:/queue.fal.run/fal-ai/kling-video", MALFORMED),
    (b"https://evil.com/?https://queue.fal.run/", OUTSIDE),
    (b"https://127.0.0.1/fal-ai/kling-video", OUTSIDE),
    (b"https://169.254.169.254/latest/meta-data", OUTSIDE),
    (b"https://2130706433/fal-ai/kling-video", OUTSIDE),
    (b"https://localhost/fal-ai/kling-video", OUTSIDE),
    # a host that looks like fal's
    (b"https://queue.fal.run.evil.com/fal-ai/kling-video", OUTSIDE),
    (b"https://evilfal.run/fal-ai/kling-video", OUTSIDE),
    (b"https://evilqueue.fal.run/fal-ai/kling-video", OUTSIDE),
    (b"https://evil.queue.fal.run/fal-ai/kling-video", OUTSIDE),
    (b"https://queue.fal.run./fal-ai/kling-video", OUTSIDE),
    (b"https://.fal.run/fal-ai/kling-video", OUTSIDE),
    (b"https://fal.ai/fal-ai/kling-video", OUTSIDE),
    (b"https://api.fal.ai.evil.com/v1/models", OUTSIDE),
    (b"https://gateway.fal.run/fal-ai/kling-video", OUTSIDE),
    (b"https://v3b.fal.media/files/upload", OUTSIDE),
    (b"https://xn--queue-fal-run.example/fal-ai/kling-video", OUTSIDE),
    (b"https://xn--fl-qja.run/fal-ai/kling-video", OUTSIDE),
    (b"https://QUEUE.FAL.RUN/fal-ai/kling-video", OUTSIDE),
    # a user, a port, an encoded or international host
    (b"https://queue.fal.run@evil.com/fal-ai/kling-video", MALFORMED),
    (b"https://fal.run:443@evil.com/fal-ai/kling-video", MALFORMED),
    (b"https://key:secret@queue.fal.run/fal-ai/kling-video", MALFORMED),
    (b"https://@queue.fal.run/fal-ai/kling-video", MALFORMED),
    (b"https://queue.fal.run:443/fal-ai/kling-video", MALFORMED),
    (b"https://queue.fal.run:8443/fal-ai/kling-video", MALFORMED),
    (b"https://queue.fal.run:/fal-ai/kling-video", MALFORMED),
    (b"https://queue%2efal%2erun/fal-ai/kling-video", MALFORMED),
    (b"https://queue.fal.run%2f@evil.com/fal-ai/kling-video", MALFORMED),
    (b"https://queue.fal.run%00.evil.com/fal-ai/kling-video", MALFORMED),
    ("https://queue。fal。run/fal-ai/kling-video".encode(), MALFORMED),
    ("https://queue.fàl.run/fal-ai/kling-video".encode(), MALFORMED),
    (b"https://[::1]/fal-ai/kling-video", MALFORMED),
    (b"https:///fal-ai/kling-video", MALFORMED),
    # not https
    (b"http://queue.fal.run/fal-ai/kling-video", MALFORMED),
    (b"HTTPS://queue.fal.run/fal-ai/kling-video", MALFORMED),
    (b"https:/queue.fal.run/fal-ai/kling-video", MALFORMED),
    (b"https:queue.fal.run/fal-ai/kling-video", MALFORMED),
    (b"//queue.fal.run/fal-ai/kling-video", MALFORMED),
    (b"/fal-ai/kling-video", MALFORMED),
    (b"queue.fal.run/fal-ai/kling-video", MALFORMED),
    (b"wss://fal.run/fal-ai/kling-video/realtime", MALFORMED),
    (b"file:///etc/passwd", MALFORMED),
    (b"javascript:alert(1)", MALFORMED),
    (b"", MALFORMED),
    # characters that URL parsers treat differently
    (b"https://queue.fal.run\\@evil.com/fal-ai/kling-video", MALFORMED),
    (b"https:\\\\queue.fal.run\\fal-ai\\kling-video", MALFORMED),
    (b"https://queue.fal.run/fal-ai\\kling-video", MALFORMED),
    (b"https://queue.fal.run\t.evil.com/fal-ai/kling-video", MALFORMED),
    (b"https://queue.fal.run/fal-ai/\tkling-video", MALFORMED),
    (b"https://queue.fal.run /fal-ai/kling-video", MALFORMED),
    (b"https://queue.fal.run/fal-ai/kling-video https://evil.com", MALFORMED),
    (b"https://queue.fal.run/fal-ai/kling-video, https://evil.com", MALFORMED),
    (b"https://queue.fal.run#@evil.com/fal-ai/kling-video", MALFORMED),
    (b"https://queue.fal.run/fal-ai/kling-video#status", MALFORMED),
    # paths that lead elsewhere once they are decoded or normalised
    (b"https://queue.fal.run/../v1/admin/teams", MALFORMED),
    (b"https://queue.fal.run/fal-ai/../../../v1/admin/teams", MALFORMED),
    (b"https://queue.fal.run/./fal-ai/kling-video", MALFORMED),
    (b"https://queue.fal.run/%2e%2e/v1/admin/teams", MALFORMED),
    (b"https://queue.fal.run/fal-ai%2fkling-video", MALFORMED),
    (b"https://queue.fal.run/fal-ai/kling%00video", MALFORMED),
    (b"https://queue.fal.run//evil.com/fal-ai/kling-video", MALFORMED),
    (b"https://queue.fal.run/fal-ai/kling-video;a=b", MALFORMED),
    (b"https://queue.fal.run/" + b"a" * 13_000, MALFORMED),
    # fal's hosts, at paths that its clients never use
    (b"https://queue.fal.run", NO_PATH),
    (b"https://queue.fal.run/", NO_PATH),
    (b"https://queue.fal.run/fal-ai", NO_PATH),
    (b"https://api.fal.ai/v1/keys", NO_PATH),
    (b"https://rest.fal.ai/billing", NO_PATH),
    (b"https://rest.fal.ai/tokens/requests", NO_PATH),
    (b"https://rest.fal.ai/storage/upload/initiate/", NO_PATH),
    (b"https://rest.fal.ai/.well-known/jwks.json", MALFORMED),
    (b"https://v3.fal.media/files/b/penguin/out.mp4", NO_PATH),
    (b"https://v3.fal.media/uploads/file_1", NO_PATH),
]
