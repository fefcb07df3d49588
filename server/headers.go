package server

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/go-chi/chi/v5/middleware"
)

// permissions drops what the host's iframe grants and a board does not need.
const permissions = "camera=(), microphone=(), display-capture=(), geolocation=(), payment=(), usb=(), serial=(), hid=(), midi=(), clipboard-read=()"

// widgetPolicy is the Content-Security-Policy of widget pages (security.md §5.1, frontend.md §1.4): own scripts and wasm only, no external
// request of any kind, framed only by the configured clients.
func widgetPolicy(public string, clients []string) string {
	ancestors := "'none'"
	if len(clients) > 0 {
		ancestors = strings.Join(clients, " ")
	}
	return "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; style-src-attr 'unsafe-inline'; " +
		"img-src 'self' data: blob:; font-src 'self'; connect-src 'self' " + socketOrigin(public) + "; worker-src 'self'; " +
		"frame-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors " + ancestors +
		"; require-trusted-types-for 'script'; trusted-types lectern"
}

// workerPolicy goes with scripts: a worker is ruled by the policy of its own response.
const workerPolicy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'"

// classroomPolicy is that of the host page: it talks to homeservers and frames widgets, and nobody frames it.
func classroomPolicy(homeservers, frames []string) string {
	return "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self'; " +
		"connect-src 'self' " + strings.Join(homeservers, " ") + "; worker-src 'self'; frame-src " + strings.Join(frames, " ") +
		"; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// originOf is the origin of an address that the configuration has checked: all that a policy may name.
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// socketOrigin is the ws: or wss: form of an http origin: 'self' does not cover it in every browser.
func socketOrigin(public string) string {
	u, err := url.Parse(public)
	if err != nil {
		return ""
	}
	scheme := "wss"
	if u.Scheme == "http" {
		scheme = "ws"
	}
	return scheme + "://" + u.Host
}

// secure sets the headers that every answer carries.
func secure(https bool) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("Referrer-Policy", "no-referrer")
			h.Set("Cross-Origin-Resource-Policy", "same-origin")
			h.Set("Permissions-Policy", permissions)
			h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
			if https {
				h.Set("Strict-Transport-Security", "max-age=31536000")
			}
			next.ServeHTTP(w, r)
		})
	}
}

// clientIP believes X-Forwarded-For only when the connection itself comes from a trusted proxy.
func clientIP(trusted []netip.Prefix) func(http.Handler) http.Handler {
	list := make([]string, len(trusted))
	for i, p := range trusted {
		list[i] = p.String()
	}
	return func(next http.Handler) http.Handler {
		direct := middleware.ClientIPFromRemoteAddr(next)
		if len(trusted) == 0 {
			return direct
		}
		forwarded := middleware.ClientIPFromXFF(list...)(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil && r.Header.Get("X-Forwarded-For") != "" {
				for _, p := range trusted {
					if p.Contains(ap.Addr().Unmap()) {
						forwarded.ServeHTTP(w, r)
						return
					}
				}
			}
			direct.ServeHTTP(w, r)
		})
	}
}

// ClientIP is the address that limits count by, as the trusted-proxy rule found it.
func ClientIP(r *http.Request) string { return clientAddr(r.Context()).String() }

// clientAddr answers what clientIP found.
func clientAddr(ctx context.Context) netip.Addr { return middleware.GetClientIPAddr(ctx) }
