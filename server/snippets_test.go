package server

import (
	"encoding/json"
	"html"
	"strings"
	"testing"

	"github.com/educationpub/lectern/server/focus"
)

func TestCallSnippets(t *testing.T) {
	t.Run("FO15 what to paste is whole, and leads to this server's addresses", func(t *testing.T) {
		l := CallSnippets("https://lectern.example/", "school.example", "key1")
		var wellKnown struct {
			Foci []struct {
				Type string `json:"type"`
				URL  string `json:"livekit_service_url"`
			} `json:"org.matrix.msc4143.rtc_foci"`
		}
		if err := json.Unmarshal([]byte("{"+l[0].Contents+"}"), &wellKnown); err != nil || len(wellKnown.Foci) != 1 || wellKnown.Foci[0].Type != "livekit" || wellKnown.Foci[0].URL != "https://lectern.example/livekit/jwt" {
			t.Errorf("%s: %+v, %v", l[0].Contents, wellKnown, err)
		}
		for i, want := range []string{`"org.matrix.msc4143.rtc_foci"`, "location = /_matrix/client/unstable/org.matrix.msc4143/rtc/transports {\n    proxy_pass https://lectern.example;", "reverse_proxy https://lectern.example {", `webhook: {api_key: key1, urls: ["https://lectern.example/livekit/sfu_webhook"]}`} {
			if !strings.Contains(l[i].Contents, want) || strings.Count(l[i].Contents, "{") != strings.Count(l[i].Contents, "}") {
				t.Errorf("%s lacks %s:\n%s", l[i].Title, want, l[i].Contents)
			}
		}
		var b strings.Builder
		if err := WriteCallSnippets(&b, "https://lectern.example", "school.example", "key1"); err != nil {
			t.Fatal(err)
		}
		for _, s := range l {
			if !strings.Contains(b.String(), s.Contents) {
				t.Errorf("the command does not print %s", s.Title)
			}
		}
	})
	t.Run("FO15 the page says the same, in English and German, without key or script, and whether calls are configured", func(t *testing.T) {
		off := newTestServer(t)
		on := newTestServer(t, func(c *Config) { c.Calls = (*focus.Service)(nil) })
		for lang, title := range map[string]string{"en": "Setting up calls", "de": "Anrufe einrichten"} {
			for s, configured := range map[*Server]bool{off: false, on: true} {
				w := get(t, s.Routes(), "GET", "/calls?lang="+lang, "")
				body := html.UnescapeString(w.Body.String())
				if w.Code != 200 || !strings.Contains(body, "<h1>"+title) || strings.Contains(body, `role="status"`) == configured || strings.Contains(body, "<script") {
					t.Errorf("%s, configured %v: got %d %.400s", lang, configured, w.Code, body)
				}
				for _, part := range CallSnippets(s.cfg.PublicURL, "example", "") {
					if !strings.Contains(body, part.Contents) {
						t.Errorf("%s lacks %s", lang, part.Contents)
					}
				}
			}
		}
	})
}
