package matrix

import (
	"strconv"
	"strings"
)

// glob matches a whole string against a pattern of literals, "*" (any run) and "?" (one character). Patterns come from the configuration.
func glob(pattern, s string) bool {
	before, rest, star := strings.Cut(pattern, "*")
	if !star {
		return matchOne(pattern, s) && len(pattern) == len(s)
	}
	if len(s) < len(before) || !matchOne(before, s[:len(before)]) {
		return false
	}
	for s = s[len(before):]; ; s = s[1:] {
		if glob(rest, s) {
			return true
		}
		if s == "" {
			return false
		}
	}
}

func matchOne(pattern, s string) bool {
	if len(pattern) != len(s) {
		return false
	}
	for i := range len(pattern) {
		if pattern[i] != '?' && pattern[i] != s[i] {
			return false
		}
	}
	return true
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
