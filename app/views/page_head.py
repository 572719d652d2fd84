"""How a page begins that is made here, without a script: one of the guide, or of an error code."""

# `title` is HTML; `root` is the way to this server's root, such as `../`.
PAGE_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · Filmgate</title>
<link rel="icon" href="{root}static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="{root}static/guide.css">
</head>
<body>
"""
