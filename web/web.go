// Package web embeds the built front end. `make web` builds it; without it the server says so at start.
package web

import "embed"

// Dist is the output of Vite: assets/*, precompressed *.br beside them, and .vite/manifest.json.
//
//go:embed all:dist
var Dist embed.FS
