package server

import (
	"bytes"
	"io"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/educationpub/lectern/templates"
	"github.com/educationpub/lectern/widgets"
)

// widgetConfig is what a widget page knows before it talks to anybody. It holds nothing about a room or a person.
type widgetConfig struct {
	ClientOrigins []string `json:"clientOrigins"`
	Companion     string   `json:"companion"`
	Version       string   `json:"version"`
}

func (s *Server) widgetPage(w http.ResponseWriter, r *http.Request) error {
	kind, ok := widgets.Find(chi.URLParam(r, "kind"))
	if !ok {
		return refuse(http.StatusNotFound, "no_widget", "There is no such kind of widget here.")
	}
	e, err := s.bundle.entry(kind.Entry)
	if err != nil {
		return refuse(http.StatusServiceUnavailable, "not_built", "This build has no front end: run make build.")
	}
	p := templates.Page{
		Title: kind.Title, Lang: "en", Script: e.script, Styles: e.styles, Ahead: e.ahead, Later: e.later, LaterStyles: e.laterStyles, NoScript: "This page needs JavaScript. Diese Seite braucht JavaScript.",
		Config: widgetConfig{ClientOrigins: s.cfg.ClientOrigins, Companion: s.cfg.Companion, Version: s.cfg.Version},
	}
	return page(w, widgetPolicy(s.cfg.PublicURL, s.cfg.ClientOrigins), func(b io.Writer) error { return templates.App(b, p) })
}

// offered names the kinds of widgets that can be added.
func (s *Server) offered() (names []string) {
	for _, k := range widgets.Offered(s.cfg.Calls != nil) {
		names = append(names, k.Name)
	}
	return names
}

func (s *Server) frontPage(w http.ResponseWriter, _ *http.Request) error {
	_, err := s.bundle.entry(widgets.Kinds[0].Entry)
	return page(w, plainPolicy, func(b io.Writer) error {
		return templates.Front(b, templates.Landing{Version: s.cfg.Version, Companion: s.cfg.Companion, Built: err == nil})
	})
}

// plainPolicy is that of pages without script.
const plainPolicy = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// wantsGerman: by the link, else by the browser.
func wantsGerman(r *http.Request) bool {
	asked := r.URL.Query().Get("lang")
	return asked == "de" || asked == "" && strings.HasPrefix(r.Header.Get("Accept-Language"), "de")
}

// trustPage says who can read what, in the language that is asked for.
func (s *Server) trustPage(w http.ResponseWriter, r *http.Request) error {
	t := templates.Trust{Lang: "en", Companion: s.cfg.Companion, ArchiveDays: s.cfg.ArchiveDays}
	if wantsGerman(r) {
		t.Lang = "de"
	}
	w.Header().Set("Vary", "Accept-Language")
	return page(w, plainPolicy, func(b io.Writer) error { return templates.TrustPage(b, t) })
}

func frontStyle(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	_, err := w.Write(templates.FrontCSS)
	return err
}

func page(w http.ResponseWriter, policy string, render func(io.Writer) error) error {
	return pageAs(w, http.StatusOK, policy, render)
}

func pageAs(w http.ResponseWriter, status int, policy string, render func(io.Writer) error) error {
	var b bytes.Buffer // a page that fails to render must not be half sent
	if err := render(&b); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
	return nil
}
