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
	case "LoadBalancer":
		return oneOf(p.LoadBalancer, "ewma", "least-request", "round-robin", "random", "ring-hash")
	case "LoadBalancerBy":
		if kind, name, _ := strings.Cut(p.LoadBalancerBy, ":"); p.LoadBalancerBy != "source" && (kind != "header" && kind != "cookie" || !isToken(name)) {
			return errors.New("it takes source, header:<name> or cookie:<name>")
		}
	case "StickyCookie":
		return token(p.StickyCookie)
	case "FaultHeader":
		return token(p.FaultHeader)
	case "StickyHeader":
		return token(p.StickyHeader)
	case "RequestHeadersSet", "RequestHeadersAdd", "RequestHeadersRemove":
		_, err := policy.NewEdits(p.RequestHeadersSet, p.RequestHeadersAdd, p.RequestHeadersRemove)
		return err
	case "ResponseHeadersSet", "ResponseHeadersAdd", "ResponseHeadersRemove":
		_, err := policy.NewEdits(p.ResponseHeadersSet, p.ResponseHeadersAdd, p.ResponseHeadersRemove)
		return err
	case "Scheme":
		return oneOf(p.Scheme, mesh.SchemeHTTP, mesh.SchemeHTTPS)
	case "TLSCaSecret":
		return hostName(p.TLSCaSecret, "the name of a Secret")
	case "TLSServerName":
		return hostName(p.TLSServerName, "a DNS name or an IP address")
	case "RatelimitBy":
		if name, isHeader := strings.CutPrefix(p.RatelimitBy, "header:"); isHeader && isToken(name) {
			return nil
		}
		return oneOf(p.RatelimitBy, "all", "source", "address", "header:<name>")
	}
	return nil
}

// token tells what is wrong with the name of a header or a cookie; none is fine.
func token(name string) error {
	if name != "" && !isToken(name) {
		return errors.New("it takes a name of letters, digits, dashes and underscores")
	}
	return nil
}

// hostName tells what is wrong with a name of the form that DNS and objects of
// Kubernetes have; none is fine.
func hostName(name, what string) error {
	if strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && r != '.' && r != ':' && !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9')
	}) {
		return errors.New("it takes " + what)
	}
	return nil
}

func isToken(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && r != '_' && !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9')
	})
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
