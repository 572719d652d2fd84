"""The pages of the reference that are made from the program: routes, errors, events, commands.

`.venv/bin/python -m tests.guards.reference_pages` writes them; the text around the made part of a page stays.
"""

from collections.abc import Iterator
from http import HTTPStatus
from itertools import groupby
from typing import Any

from app.cli.command import COMMANDS, load
from app.domain.errors import Code
from app.domain.remedies import JOB_ERRORS, REMEDIES
from tests.guards.made_page import Page
from tests.guards.openapi_document import drawn

MARK = "made by tests/guards/reference_pages.py"


# --- routes ------------------------------------------------------------------------------------------------------


def api() -> str:
    """A table of routes for each group of the OpenAPI document, then a table for each body."""
    document = drawn()
    schemas = document["components"]["schemas"]
    routes = [
        (operation["tags"][0], f"| `{method.upper()} {path}` | {_doing(operation)} | {_given(operation)} |")
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    parts = []
    for tag in document["tags"]:
        rows = "\n".join(row for name, row in routes if name == tag["name"])
        head = f"## {tag['name'].capitalize()}\n\n{tag['description']}.\n\n"
        parts.append(f"{head}| method and path | what it does | parameters, body |\n|---|---|---|\n{rows}\n")
    bodies = "\n".join(_body(name, schemas) for name in sorted(_bodies(document)))
    return (
        "\n".join(parts)
        + f"\n## Bodies\n\nUnknown members are refused; `null` is the same as leaving a member out.\n\n{bodies}"
    )


def _doing(operation: dict[str, Any]) -> str:
    text = " ".join(operation.get("description", "").split())
    return f"**{operation['summary']}{'' if operation['summary'].endswith('?') else '.'}** {text}".replace(
        "|", "\\|"
    )


def _given(operation: dict[str, Any]) -> str:
    """Query and header parameters by name, and a link to the body."""
    named = [one for one in operation["parameters"] if "name" in one and one["in"] != "path"]
    query = ", ".join(f"`{one['name']}`" for one in named if one["in"] == "query")
    header = ", ".join(f"`{one['name']}`" for one in named if one["in"] == "header")
    parts = [query, f"header {header}" if header else "", _body_link(operation)]
    return "; ".join(part for part in parts if part)


def _body_of(operation: dict[str, Any]) -> str:
    """The name of the body's schema; empty when it has none of its own."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        return str(content["schema"].get("$ref", "")).rpartition("/")[2]
    return ""


def _body_link(operation: dict[str, Any]) -> str:
    if "requestBody" not in operation:
        return ""
    name = _body_of(operation)
    return f"body [{name}](#{name.lower()})" if name else "a form with `file`"


def _bodies(document: dict[str, Any]) -> set[str]:
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    return {name for operation in operations if (name := _body_of(operation))}


def _body(name: str, schemas: dict[str, Any]) -> str:
    """A table of its members; a list has no members and is described by its item."""
    schema = schemas[name]
    if "properties" not in schema:
        item = str(schema.get("items", {}).get("$ref", "")).rpartition("/")[2]
        return f"### {name}\n\nA list, each item as follows.\n\n{_members(schemas[item], schemas)}"
    return f"### {name}\n\n{_members(schema, schemas)}"


def _members(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    required = schema.get("required", ())
    rows = [
        f"| `{name}`{' (required)' if name in required else ''} | {_type(member, schemas)} "
        f"| {member.get('description', '')} |"
        for name, member in schema["properties"].items()
    ]
    return "| member | type | meaning |\n|---|---|---|\n" + "\n".join(rows).replace("  |", " |") + "\n"


def _type(member: dict[str, Any], schemas: dict[str, Any]) -> str:
    """In words: a type, its choices, its bounds."""
    if "$ref" in member:
        return _type(schemas[member["$ref"].rpartition("/")[2]], schemas)
    if "enum" in member:
        return ", ".join(f"`{value}`" for value in member["enum"])
    if "const" in member:
        return f"`{member['const']}`"
    if "anyOf" in member:
        kinds = [_type(one, schemas) for one in member["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if member.get("type") == "array":
        return f"list of {_type(member['items'], schemas)}" if member.get("items") else "list"
    if str(member.get("pattern", "")).startswith("^[0-9]"):
        return 'dollars as text, `"1.40"`'
    return f"{member.get('type', 'anything').replace('string', 'text')}{_bounds(member)}"


def _bounds(member: dict[str, Any]) -> str:
    least, most = member.get("minimum"), member.get("maximum")
    if least is not None and most is not None:
        return f", {least:,} to {most:,}"
    longest = member.get("maxLength")
    return f", at most {longest:,} characters" if longest else ""


# --- errors ------------------------------------------------------------------------------------------------------


def errors() -> str:
    """Every code of a problem by its status, then the codes of a job that failed."""
    parts = []
    for status, codes in groupby(sorted(Code, key=lambda code: code.status), key=lambda code: code.status):
        parts.append(f"## {status} {HTTPStatus(status).phrase}\n")
        for code in codes:
            cause, remedy = REMEDIES[code]
            parts.append(f"### `{code}`\n\n{code.meaning}. {cause}\n\n*What to do.* {remedy}\n")
    parts.append("## Errors of a job\n\n`error.code` of a job that has failed or was cancelled.\n")
    for name, help_ in JOB_ERRORS.items():
        parts.append(f"### `{name}`\n\n{help_.title}. {help_.cause}\n\n*What to do.* {help_.remedy}\n")
    return "\n".join(parts)


# --- events ------------------------------------------------------------------------------------------------------


def events() -> str:
    """A table: the type, when it happens, and the schema of its body."""
    rows = []
    for name, methods in drawn()["webhooks"].items():
        post = methods["post"]
        schema = post["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        rows.append(f"| `{name}` | {post.get('description') or post['summary']} | `{schema}` |")
    return "| type | when | body |\n|---|---|---|\n" + "\n".join(rows) + "\n"


# --- commands ----------------------------------------------------------------------------------------------------


def commands() -> str:
    """A section for each command, with its subcommands, arguments and options."""
    return "\n".join(
        f"## filmgate {name}\n{''.join(_command(f'filmgate {name}', load(name), spec.help))}"
        for name, spec in COMMANDS.items()
    )


def _command(path: str, command: Any, short: str) -> Iterator[str]:
    """The parts of a command, or of each of its subcommands."""
    own = [one for one in command.params if not one.hidden and one.name != "help"]
    yield f"\n{' '.join((command.help or short).split())}\n"
    if any(map(_is_argument, own)):
        yield f"\n`{' '.join([path, *(_metavar(one) for one in own if _is_argument(one))])}`\n"
    if own:
        yield "\n| option | meaning |\n|---|---|\n" + "".join(map(_option, own))
    for name, subcommand in getattr(command, "commands", {}).items():
        yield f"\n### {path.removeprefix('filmgate ')} {name}\n"
        yield from _command(f"{path} {name}", subcommand, "")


def _is_argument(parameter: Any) -> bool:
    return str(parameter.param_type_name) == "argument"


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _option(parameter: Any) -> str:
    if _is_argument(parameter):
        name = f"`{_metavar(parameter)}`"
    else:
        value = "" if parameter.is_flag else f" {_metavar(parameter)}".replace("|", "\\|")
        name = ", ".join(f"`{option}{value}`" for option in [*parameter.opts, *parameter.secondary_opts])
    needed = "" if not parameter.required else " (required)"
    meaning = " ".join((parameter.help or "").split()).replace("|", "\\|")
    return f"| {name}{needed} | {meaning} |\n"


# --- pages -------------------------------------------------------------------------------------------------------


PAGES = (
    Page("api.md", MARK, api),
    Page("errors.md", MARK, errors),
    Page("events.md", MARK, events),
    Page("cli.md", MARK, commands),
)


if __name__ == "__main__":
    for page in PAGES:
        page.write()
