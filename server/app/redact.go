package app

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"regexp"
)

// redactor is the last thing a log record passes: rooms, people and boards leave as short hashes under a key of this process, so that lines of one run can
// be put together and nobody can be found by them (security.md §5.7). It also looks into errors, which libraries fill with identifiers and URLs.
type redactor struct {
	next slog.Handler
	key  []byte
}

// Redact wraps a handler.
func Redact(next slog.Handler) slog.Handler {
	key := make([]byte, 32)
	rand.Read(key)
	return redactor{next, key}
}

var (
	// ids are Matrix identifiers: @user:server, !room:server, and !room of version 12 without a server.
	ids = regexp.MustCompile(`[@!#$][A-Za-z0-9._=/+\-]{1,255}:[A-Za-z0-9.\-\[\]:]{1,255}|![A-Za-z0-9_\-]{43}\b`)
	// tokens in URLs of failed requests.
	tokens = regexp.MustCompile(`((?:access_|scalar_)?token|password)=[^&\s"]+`)
)

// hashed are attributes whose whole value names somebody or something.
var hashed = map[string]bool{"room": true, "person": true, "user": true, "sender": true, "board": true, "session": true}

func (r redactor) hash(s string) string {
	m := hmac.New(sha256.New, r.key)
	m.Write([]byte(s))
	return hex.EncodeToString(m.Sum(nil)[:4])
}

func (r redactor) text(s string) string {
	s = tokens.ReplaceAllString(s, "$1=…")
	return ids.ReplaceAllStringFunc(s, func(id string) string { return id[:1] + r.hash(id) })
}

func (r redactor) attr(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindGroup:
		g := v.Group()
		out := make([]slog.Attr, len(g))
		for i, x := range g {
			out[i] = r.attr(x)
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(out...)}
	case slog.KindString:
		if hashed[a.Key] {
			return slog.String(a.Key, r.hash(v.String()))
		}
		return slog.String(a.Key, r.text(v.String()))
	case slog.KindAny:
		switch x := v.Any().(type) {
		case nil:
			return a
		case error:
			return slog.String(a.Key, r.text(x.Error()))
		default:
			s := slog.AnyValue(x).String()
			if hashed[a.Key] {
				return slog.String(a.Key, r.hash(s))
			}
			return slog.String(a.Key, r.text(s))
		}
	default:
		return a
	}
}

func (r redactor) Enabled(ctx context.Context, l slog.Level) bool { return r.next.Enabled(ctx, l) }

func (r redactor) Handle(ctx context.Context, rec slog.Record) error {
	out := slog.NewRecord(rec.Time, rec.Level, r.text(rec.Message), rec.PC)
	rec.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(r.attr(a))
		return true
	})
	return r.next.Handle(ctx, out)
}

func (r redactor) WithAttrs(as []slog.Attr) slog.Handler {
	out := make([]slog.Attr, len(as))
	for i, a := range as {
		out[i] = r.attr(a)
	}
	return redactor{r.next.WithAttrs(out), r.key}
}

func (r redactor) WithGroup(name string) slog.Handler { return redactor{r.next.WithGroup(name), r.key} }
