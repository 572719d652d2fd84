"""The only room that speaks to an OpenID provider. Nothing here is loaded where none is configured."""
