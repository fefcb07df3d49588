package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"
)

// bundle is the built front end: Vite's manifest and the files it names.
type bundle struct {
	dist     fs.FS
	manifest map[string]chunk
}

type chunk struct {
	File    string   `json:"file"`
	CSS     []string `json:"css"`
	Imports []string `json:"imports"`
	Dynamic []string `json:"dynamicImports"`
}

// entry lists what the page of an entry loads.
type entry struct {
	script string
	styles []string
	ahead  []string
	// What the entry imports by itself once it has painted: fetched ahead, so that it is there when it is wanted.
	later, laterStyles []string
}

var errNotBuilt = errors.New("the front end is not built (make web)")

// openBundle reads the manifest; without one the server still runs and says so.
func openBundle(dist fs.FS) (*bundle, error) {
	b := &bundle{dist: dist}
	raw, err := fs.ReadFile(dist, ".vite/manifest.json")
	if errors.Is(err, fs.ErrNotExist) {
		return b, errNotBuilt
	}
	if err != nil {
		return b, fmt.Errorf("front end manifest: %w", err)
	}
	if err := json.Unmarshal(raw, &b.manifest); err != nil {
		return b, fmt.Errorf("front end manifest: %w", err)
	}
	return b, nil
}

func (b *bundle) entry(name string) (entry, error) {
	c, ok := b.manifest[name]
	if !ok {
		return entry{}, errNotBuilt
	}
	e := entry{script: "/" + c.File}
	seen := map[string]bool{name: true}
	var walk func(c chunk, files, styles *[]string)
	walk = func(c chunk, files, styles *[]string) {
		for _, css := range c.CSS {
			if u := "/" + css; !slices.Contains(e.styles, u) && !slices.Contains(*styles, u) {
				*styles = append(*styles, u)
			}
		}
		for _, i := range c.Imports {
			if seen[i] {
				continue
			}
			seen[i] = true
			d := b.manifest[i]
			*files = append(*files, "/"+d.File)
			walk(d, files, styles)
		}
	}
	walk(c, &e.ahead, &e.styles)
	for _, i := range c.Dynamic {
		if d, ok := b.manifest[i]; ok && !seen[i] {
			seen[i] = true
			e.later = append(e.later, "/"+d.File)
			walk(d, &e.later, &e.laterStyles)
		}
	}
	return e, nil
}

// types that Go's table or the machine's may lack.
var types = map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".wasm": "application/wasm", ".woff2": "font/woff2", ".json": "application/json", ".svg": "image/svg+xml", ".bin": "application/octet-stream", ".automerge": "application/octet-stream"}

// ServeHTTP serves /assets/*: names carry a hash of the content, so they may be cached for ever.
func (b *bundle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := path.Join("assets", path.Clean("/"+chi.URLParam(r, "*")))
	if !fs.ValidPath(name) || strings.HasSuffix(name, ".br") {
		http.NotFound(w, r)
		return
	}
	ext := path.Ext(name)
	kind, ok := types[ext]
	if !ok {
		kind = mime.TypeByExtension(ext)
	}
	h := w.Header()
	file := name
	if strings.Contains(r.Header.Get("Accept-Encoding"), "br") {
		if _, err := fs.Stat(b.dist, name+".br"); err == nil {
			file = name + ".br"
			h.Set("Content-Encoding", "br")
		}
	}
	data, err := fs.ReadFile(b.dist, file)
	if err != nil {
		h.Del("Content-Encoding")
		http.NotFound(w, r)
		return
	}
	h.Set("Vary", "Accept-Encoding")
	h.Set("Content-Type", kind)
	h.Set("Content-Security-Policy", workerPolicy)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Content-Length", fmt.Sprint(len(data)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(data)
	}
}
