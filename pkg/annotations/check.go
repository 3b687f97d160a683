package annotations

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/policy"
)

const (
	// longest bounds durations: what is longer is a slip of the pen.
	longest = 24 * time.Hour
	// most bounds numbers.
	most = 1_000_000
)

// check tells what is wrong with the one field of a Policy that was said.
func check(name string, p *mesh.Policy) error {
	value := reflect.ValueOf(p).Elem().FieldByName(name)
	switch {
	case value.Type() == reflect.TypeFor[time.Duration]():
		if d := time.Duration(value.Int()); d < 0 || d > longest || d > 0 && d < time.Millisecond {
			return errors.New("it takes a duration with a unit, from 1ms to 24h, or 0")
		}
	case strings.HasSuffix(name, "Percent") || name == "RetryBudget" || name == "OutlierMaxEjected":
		return within(value.Int(), 0, 100)
	case name == "FaultAbort":
		if value.Int() != 0 {
			return within(value.Int(), 200, 599)
		}
	case name == "RetryAttempts":
		return within(value.Int(), 0, 10)
	case value.Kind() == reflect.Int:
		return within(value.Int(), 0, most)
	}
	return checkText(name, p)
}

func within(n, least, most int64) error {
	if n < least || n > most {
		return fmt.Errorf("it takes a whole number from %d to %d", least, most)
	}
	return nil
}

// checkText checks the fields that have a language of their own, and those
// that must not be 0.
func checkText(name string, p *mesh.Policy) error {
	switch name {
	case "AccessLog":
		switch p.AccessLog {
		case "", "all", "errors", "sampled", "off":
			return nil
		}
		return errors.New("it takes all, errors, sampled or off")
	case "RetryOn":
		_, err := policy.ParseRetryOn(p.RetryOn)
		return err
	case "CircuitBreakerExpression":
		if p.CircuitBreakerExpression == "" {
			return nil
		}
		_, err := policy.ParseExpression(p.CircuitBreakerExpression)
		return err
	case "RatelimitPeriod":
		return positive(p.RatelimitPeriod)
	case "RetryBackoff":
		return positive(p.RetryBackoff)
	case "OutlierInterval":
		return positive(p.OutlierInterval)
	case "OutlierEjection":
		return positive(p.OutlierEjection)
	case "RatelimitBy":
		return oneOf(p.RatelimitBy, "all", "source", "address")
	}
	return nil
}

func positive(d time.Duration) error {
	if d == 0 {
		return errors.New("it must be longer than 0")
	}
	return nil
}

func oneOf(value string, words ...string) error {
	if !slices.Contains(words, value) {
		return fmt.Errorf("it takes %s", strings.Join(words, ", "))
	}
	return nil
}
