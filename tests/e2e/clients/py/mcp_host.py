"""A host of fal-mcp-server, unmodified, over MCP: the outcome as a line of JSON. Argument: the calls, as JSON."""

import asyncio
import json
import os
import sys
from importlib import import_module
from typing import Any

SERVER = """
from fal_mcp_server.model_registry import ModelRegistry
ModelRegistry.FAL_API_BASE = {api!r}
from fal_mcp_server.server import main
main()
"""


async def main(calls: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """The text of each tool's answer."""
    mcp, stdio = import_module("mcp"), import_module("mcp.client.stdio")
    server = SERVER.format(api=f"{os.environ['GATEWAY']}/fal/api/v1")
    parameters = mcp.StdioServerParameters(command=sys.executable, args=["-c", server], env=dict(os.environ))
    async with stdio.stdio_client(parameters) as (read, write), mcp.ClientSession(read, write) as session:
        await session.initialize()
        found = [await session.call_tool(name, arguments) for name, arguments in calls]
    return [" ".join(part.text for part in one.content) for one in found]


if __name__ == "__main__":
    print(json.dumps({"outcome": asyncio.run(main(json.loads(sys.argv[1])))}))  # noqa: T201  for the test
