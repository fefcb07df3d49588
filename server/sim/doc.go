// Package sim holds the seeded simulation of whole boards: instances with their stores, epochs, checkpoints and homes, a room that can be
// partitioned, and people who draw, go offline, reload and come back, all in virtual time. It has no code of its own outside its tests; each seed is one world,
// and what must hold in every world stands in world_test.go (SPEC SM).
package sim
