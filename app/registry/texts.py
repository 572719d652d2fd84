"""Prompts as people and programs write them: the line ends and the code pages of other systems."""

# Read as line feeds: vertical tab, form feed, carriage return, and the next line of mainframes.
_LINE_ENDS = dict.fromkeys((0x0B, 0x0C, 0x0D, 0x85), "\n")
# What U+0080 to U+009F mean in Windows-1252, as HTML reads `&#147;`: quotation marks, dashes, the euro sign. They
# come from texts that were read as Latin-1. Five of them mean nothing there either, and are dropped.
_WINDOWS_1252 = {code: bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0)}
_MEANT = _WINDOWS_1252 | _LINE_ENDS


def mended(text: str) -> str:
    """The text with line feeds for all line ends, and with the characters meant by U+0080 to U+009F."""
    return text.replace("\r\n", "\n").translate(_MEANT)
