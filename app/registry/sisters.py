"""What a model calls a field that it does not know: names that its sisters at fal, and other hosts, give to it."""

import re
from collections.abc import Collection
from difflib import get_close_matches

_FIRST_FRAME = """
image_url start_image_url frontal_image_url image start_image start_frame_url input_image input_image_url init_image
first_frame_image first_frame_image_url first_frame_url
"""
_LAST_FRAME = """
end_image_url tail_image_url image_tail tail_image end_image end_frame_url last_image_url last_frame_image
last_frame_image_url last_frame_url
"""
_GROUPS = [
    frozenset(names.split())
    for names in (
        _FIRST_FRAME,
        _LAST_FRAME,
        "image_urls input_image_urls reference_image_urls images reference_images image_list",
        "video_url input_video_url reference_video_url video source_video_url",
        "audio_url input_audio_url audio sound_file voice_url",
        "generate_audio enable_audio with_audio audio sound",
        "keep_audio keep_original_sound",
        "voice_ids voice_id voices voice_list",
        "multi_prompt multi_shots shots storyboard",
        "elements element_list",
        "duration seconds duration_seconds num_seconds video_length length",
        "aspect_ratio ratio",
        "resolution quality",
        "cfg_scale guidance_scale cfg",
        "prompt text text_prompt",
        "negative_prompt negative",
    )
]
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LONGEST = 64  # characters of a name that is compared

NO_SUCH = "There is no such field here"


def unknown_field(name: str, known: Collection[str], *, begins_with_image: bool = False) -> str:
    """A sentence about an unknown field: what `known` calls it, if anything; never with the name itself."""
    plain = _HUMP.sub("_", name[:_LONGEST]).lower().replace("-", "_")
    same = frozenset[str]().union(*(group for group in _GROUPS if plain in group))
    called = [field for field in known if field == plain or field in same]
    if called:
        return f"{NO_SUCH}; this model calls it {called[0]}."
    if plain in {"aspect_ratio", "ratio"} and begins_with_image:
        return f"{NO_SUCH}: the image decides the ratio."
    if plain == "index":
        return f"{NO_SUCH}: the order of the list counts."
    similar = get_close_matches(plain, known, n=1, cutoff=0.8)
    return f"{NO_SUCH}. Did you mean {similar[0]}?" if similar else f"{NO_SUCH}; leave it out."
