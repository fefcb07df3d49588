module github.com/educationpub/lectern/server/devstack/homeserver

go 1.26.0

require github.com/element-hq/dendrite v0.15.2
