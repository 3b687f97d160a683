package policy

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"time"

	"github.com/vulcand/oxy/v2/memmetrics"
)

// longestExpression bounds what is parsed.
const longestExpression = 1024

// Expression is a condition on what was measured of a Service, in the language
// of oxy's circuit breaker: NetworkErrorRatio(), LatencyAtQuantileMS(quantile)
// and ResponseCodeRatio(from, to, dividedByFrom, dividedByTo) are compared with
// numbers, and joined by &&, || and !.
type Expression func(*memmetrics.RTMetrics) bool

// measure is one of the functions with its arguments.
type measure func(*memmetrics.RTMetrics) float64

// ParseExpression reads an Expression.
func ParseExpression(text string) (Expression, error) {
	if len(text) > longestExpression {
		return nil, fmt.Errorf("it is longer than %d characters", longestExpression)
	}
	tree, err := parser.ParseExpr(text)
	if err != nil {
		return nil, fmt.Errorf("it is no expression: %w", err)
	}
	return condition(tree)
}

func condition(e ast.Expr) (Expression, error) {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return condition(e.X)
	case *ast.UnaryExpr:
		of, err := condition(e.X)
		if err != nil || e.Op != token.NOT {
			return nil, orElse(err, "%s is no operator of it", e.Op)
		}
		return func(m *memmetrics.RTMetrics) bool { return !of(m) }, nil
	case *ast.BinaryExpr:
		if e.Op != token.LAND && e.Op != token.LOR {
			return comparison(e)
		}
		return joined(e)
	}
	return nil, fmt.Errorf("it holds something that is no condition")
}

// orElse returns the error where there is one, else a new one.
func orElse(err error, format string, args ...any) error {
	if err != nil {
		return err
	}
	return fmt.Errorf(format, args...)
}

func joined(e *ast.BinaryExpr) (Expression, error) {
	x, err := condition(e.X)
	if err != nil {
		return nil, err
	}
	y, err := condition(e.Y)
	if err != nil {
		return nil, err
	}
	if e.Op == token.LAND {
		return func(m *memmetrics.RTMetrics) bool { return x(m) && y(m) }, nil
	}
	return func(m *memmetrics.RTMetrics) bool { return x(m) || y(m) }, nil
}

func comparison(e *ast.BinaryExpr) (Expression, error) {
	of, err := measured(e.X)
	if err != nil {
		return nil, err
	}
	with, err := number(e.Y)
	if err != nil {
		return nil, err
	}
	compare := map[token.Token]func(float64) bool{
		token.GTR: func(v float64) bool { return v > with }, token.GEQ: func(v float64) bool { return v >= with },
		token.LSS: func(v float64) bool { return v < with }, token.LEQ: func(v float64) bool { return v <= with },
		token.EQL: func(v float64) bool { return v == with }, token.NEQ: func(v float64) bool { return v != with },
	}[e.Op]
	if compare == nil {
		return nil, fmt.Errorf("%s is no operator of it", e.Op)
	}
	return func(m *memmetrics.RTMetrics) bool { return compare(of(m)) }, nil
}

func measured(e ast.Expr) (measure, error) {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return nil, fmt.Errorf("a function must stand on the left of a comparison")
	}
	name, ok := call.Fun.(*ast.Ident)
	if !ok {
		return nil, fmt.Errorf("it calls something that is no function of it")
	}
	var args []float64
	for _, a := range call.Args {
		n, err := number(a)
		if err != nil {
			return nil, err
		}
		args = append(args, n)
	}
	switch {
	case name.Name == "NetworkErrorRatio" && len(args) == 0:
		return (*memmetrics.RTMetrics).NetworkErrorRatio, nil
	case name.Name == "LatencyAtQuantileMS" && len(args) == 1:
		return func(m *memmetrics.RTMetrics) float64 { return latency(m, args[0]) }, nil
	case name.Name == "ResponseCodeRatio" && len(args) == 4:
		return func(m *memmetrics.RTMetrics) float64 {
			return m.ResponseCodeRatio(int(args[0]), int(args[1]), int(args[2]), int(args[3]))
		}, nil
	}
	return nil, fmt.Errorf("%s with %d arguments is no function of it", name.Name, len(args))
}

// latency is a quantile of the latencies in whole milliseconds, 0 where none is
// known.
func latency(m *memmetrics.RTMetrics, quantile float64) float64 {
	histogram, err := m.LatencyHistogram()
	if err != nil {
		return 0
	}
	return float64(histogram.LatencyAtQuantile(quantile) / time.Millisecond)
}

func number(e ast.Expr) (float64, error) {
	literal, ok := e.(*ast.BasicLit)
	if !ok || literal.Kind != token.INT && literal.Kind != token.FLOAT {
		return 0, fmt.Errorf("a number must stand on the right of a comparison and between parentheses")
	}
	return strconv.ParseFloat(literal.Value, 64)
}
