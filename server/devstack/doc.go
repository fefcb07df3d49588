// Package devstack runs the real neighbours of Lectern on loopback: a Dendrite homeserver in its own process, demo people,
// and an encrypted room with the widgets in it. It serves `lectern dev` and the integration tests.
//
// It owns child processes and the files below its data folder. It speaks plain HTTP to the homeserver and knows nothing of
// Lectern itself: no mautrix, no board. Nothing here is meant for production.
package devstack
