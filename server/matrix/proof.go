package matrix

import (
	"encoding/json"

	"github.com/educationpub/lectern/server/identity"
)

// maxNonce of a challenge's answer.
const maxNonce = 128

// proofs hands on what answers a challenge (SPEC CG). It is not encrypted: that it comes from that person is the homeserver's word either way, and it is of use
// once, to the session that asked.
func (c *Companion) proofs(events []json.RawMessage) {
	if c.cfg.OnProof == nil {
		return
	}
	for _, raw := range events {
		var e struct {
			Type    string `json:"type"`
			Sender  string `json:"sender"`
			Content struct {
				Nonce any `json:"nonce"`
			} `json:"content"`
		}
		if json.Unmarshal(raw, &e) != nil || e.Type != identity.ProofType {
			continue
		}
		if nonce, ok := e.Content.Nonce.(string); ok && nonce != "" && len(nonce) <= maxNonce {
			c.cfg.OnProof(e.Sender, nonce)
		}
	}
}
