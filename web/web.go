// Package web embeds the built front end. `make web` builds it; without it the server says so at start.
package web

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// Files is the output of Vite: assets/*, precompressed *.br beside them, and .vite/manifest.json.
func Files() fs.FS {
	f, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the name is a constant
	}
	return f
}
