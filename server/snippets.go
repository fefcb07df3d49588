package server

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/educationpub/lectern/templates"
)

// CallSnippets are what an admin pastes into the configuration of others, so that clients find this focus (MSC4143) and LiveKit obeys it. public is Lectern's
// address, server the name of the homeserver, key LiveKit's key ("" for a placeholder). No secret is in them.
func CallSnippets(public, server, key string) []templates.Snippet {
	public = strings.TrimRight(public, "/")
	if key == "" {
		key = "KEY"
	}
	focus, _ := json.Marshal(public + CallService) // a string can be marshalled
	hook, _ := json.Marshal(public + "/livekit/sfu_webhook")
	_, host, _ := strings.Cut(public, "://")
	const path = "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports"
	return []templates.Snippet{
		{
			Title: "https://" + server + "/.well-known/matrix/client", German: "https://" + server + "/.well-known/matrix/client",
			Why:      "Into the JSON object that your server answers there. Today’s clients look here.",
			WhyInDe:  "In das JSON-Objekt, das dein Server dort liefert. Hier schauen Clients heute nach.",
			Contents: fmt.Sprintf("\"org.matrix.msc4143.rtc_foci\": [\n  {\"type\": \"livekit\", \"livekit_service_url\": %s}\n]", focus),
		},
		{
			Title: "Reverse proxy of the homeserver, nginx", German: "Reverse-Proxy des Homeservers, nginx",
			Why:      "Before the location of /_matrix. Newer clients ask here, and not every homeserver answers by itself.",
			WhyInDe:  "Vor der location von /_matrix. Neuere Clients fragen hier, und nicht jeder Homeserver antwortet selbst.",
			Contents: fmt.Sprintf("location = %s {\n    proxy_pass %s;\n    proxy_set_header Host %s;\n    proxy_ssl_server_name on;\n}", path, public, host),
		},
		{
			Title: "Reverse proxy of the homeserver, Caddy (instead)", German: "Reverse-Proxy des Homeservers, Caddy (stattdessen)",
			Why:      "Before the handle of /_matrix.",
			WhyInDe:  "Vor dem handle von /_matrix.",
			Contents: fmt.Sprintf("handle %s {\n\treverse_proxy %s {\n\t\theader_up Host %s\n\t}\n}", path, public, host),
		},
		{
			Title: "livekit.yaml", German: "livekit.yaml",
			Why:      "Only Lectern makes rooms, and LiveKit tells it who comes and goes. The secret is the line in calls.secret_file.",
			WhyInDe:  "Nur Lectern legt Räume an, und LiveKit sagt ihm, wer kommt und geht. Das Geheimnis ist die Zeile in calls.secret_file.",
			Contents: fmt.Sprintf("keys: {%s: SECRET}\nroom: {auto_create: false}\nwebhook: {api_key: %s, urls: [%s]}", key, key, hook),
		},
	}
}

// WriteCallSnippets prints them for a terminal.
func WriteCallSnippets(w io.Writer, public, server, key string) error {
	for _, s := range CallSnippets(public, server, key) {
		if _, err := fmt.Fprintf(w, "# %s\n# %s\n\n%s\n\n", s.Title, s.Why, s.Contents); err != nil {
			return err
		}
	}
	return nil
}

// callsPage tells admins how clients find this focus.
func (s *Server) callsPage(w http.ResponseWriter, r *http.Request) error {
	_, server, _ := strings.Cut(s.cfg.Companion, ":")
	c := templates.Calls{German: wantsGerman(r), On: s.cfg.Calls != nil, Snippets: CallSnippets(s.cfg.PublicURL, server, "")}
	w.Header().Set("Vary", "Accept-Language")
	return page(w, plainPolicy, func(b io.Writer) error { return templates.CallsPage(b, c) })
}
