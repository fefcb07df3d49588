package main

import "math"

// Slope is how a quantity changed over time: the line through its samples by least squares.
type Slope struct {
	Name    string  `json:"name"`
	Mean    float64 `json:"mean"`
	PerHour float64 `json:"per_hour"`
	Error   float64 `json:"standard_error_per_hour"`
	Limit   float64 `json:"limit_per_hour"` // 0: not judged
	Verdict string  `json:"verdict"`
}

// judged is the least time, in hours, that a verdict needs.
const judged = 1.0 / 6

// slope fits y over x, in hours. It is called rising only where that is certain: the slope less two of its standard errors is over the limit.
func slope(name string, x, y []float64, limit float64) Slope {
	s, n := Slope{Name: name, Limit: limit, Verdict: "not judged"}, float64(len(x))
	var mx float64
	for i := range x {
		mx += x[i] / n
		s.Mean += y[i] / n
	}
	var xx, xy float64
	for i := range x {
		xx += (x[i] - mx) * (x[i] - mx)
		xy += (x[i] - mx) * (y[i] - s.Mean)
	}
	if n < 3 || xx == 0 {
		s.Verdict = "too few samples"
		return s
	}
	if x[len(x)-1]-x[0] < judged {
		s.Verdict = "too short to judge"
	}
	s.PerHour = xy / xx
	var rest float64
	for i := range x {
		d := y[i] - s.Mean - s.PerHour*(x[i]-mx)
		rest += d * d
	}
	s.Error = math.Sqrt(rest / (n - 2) / xx)
	switch {
	case limit == 0 || s.Verdict == "too short to judge":
	case s.PerHour-2*s.Error > limit:
		s.Verdict = "rises"
	case s.PerHour > limit:
		s.Verdict = "steady within its noise"
	default:
		s.Verdict = "steady"
	}
	return s
}
