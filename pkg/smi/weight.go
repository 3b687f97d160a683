package smi

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// mostWeight is the largest weight, so that sums of weights in thousandths stay
// far from the end of int64.
const mostWeight = math.MaxInt32

var (
	errWeightForm     = errors.New(`want a number or a quantity, such as 10, 0.5 or "500m"`)
	errWeightNegative = errors.New("a weight is not negative")
	errWeightLarge    = fmt.Errorf("the largest weight is %d", mostWeight)
)

// parseWeight reads a weight as thousandths, by resource.Quantity's rules: a
// fraction of a thousandth is rounded up, so that only zero is zero.
func parseWeight(value any) (int64, error) {
	number, err := decimal(value)
	if err == nil {
		var thousandths int64
		if thousandths, err = parseQuantity(number); err == nil {
			return thousandths, nil
		}
	}
	return 0, fmt.Errorf("%s: %w", describe(value), err)
}

// decimal writes any form of number that JSON, YAML or a test may hold as a
// quantity.
func decimal(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case int:
		return strconv.Itoa(v), nil
	case int32:
		return strconv.FormatInt(int64(v), 10), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		return decimalOf(v)
	}
	return "", errWeightForm
}

// decimalOf writes the shortest decimal that reads back as v. Its length is
// bounded at both ends.
func decimalOf(v float64) (string, error) {
	switch {
	case v > mostWeight:
		return "", errWeightLarge
	case v < 0:
		return "", errWeightNegative
	case v == 0:
		return "0", nil
	case v < 1e-9:
		return "1n", nil
	default:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	}
}

// parseQuantity reads a quantity as thousandths. Long exponents are refused
// before they are parsed: the work grows with the number that they mean.
func parseQuantity(s string) (int64, error) {
	if len(s) > longest {
		return 0, errWeightForm
	}
	if at := strings.LastIndexAny(s, "eE"); at >= 0 && len(s)-at > len("e+99") {
		return 0, errWeightForm
	}
	quantity, err := resource.ParseQuantity(s)
	switch {
	case err != nil:
		return 0, errWeightForm
	case quantity.Sign() < 0:
		return 0, errWeightNegative
	case quantity.CmpInt64(mostWeight) > 0:
		return 0, errWeightLarge
	}
	return quantity.MilliValue(), nil
}
