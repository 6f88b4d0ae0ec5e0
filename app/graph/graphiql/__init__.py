"""GraphiQL, the page on which a developer walks the graph, served from our own copy.

`page` renders the page, its policy and its routes; `page.html`, `page.js` and `page.css` are ours;
`bundle/` holds the published files of others, unchanged, with their licences and a manifest.
Calls no room.
"""
