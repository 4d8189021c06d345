"""A folder with a semantic layer and a seed → an MCP server with the tools of a Genie space."""
