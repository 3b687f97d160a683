package main

import (
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
	"k8s.io/apimachinery/pkg/util/validation"
)

// The functions below find values that would fail later, in words that do not
// name the flag. Each returns a usage error that says what the flag takes, nil
// where the value is right.

func checkNamespace(value string) error { return checkNamespaces("namespace", value) }

// checkNamespaces takes any number of values of one flag.
func checkNamespaces(flag string, values ...string) error {
	for _, value := range values {
		if len(validation.IsDNS1123Label(value)) > 0 {
			return usageError("--%s=%s: takes the name of a namespace", flag, value)
		}
	}
	return nil
}

// checkDomains takes any number of values of one flag.
func checkDomains(flag string, values ...string) error {
	for _, value := range values {
		if len(validation.IsDNS1123Subdomain(value)) > 0 {
			return usageError("--%s=%s: takes a DNS name such as mesh or cluster.local", flag, value)
		}
	}
	return nil
}

// checkNamed takes a namespace, a name with its namespace, or nothing.
func checkNamed(flag, value string) error {
	namespace, name, one := strings.Cut(value, "/")
	if value == "" || len(validation.IsDNS1123Label(namespace)) == 0 && (!one || len(validation.IsDNS1123Subdomain(name)) == 0) {
		return nil
	}
	return usageError("--%s=%s: takes a name with its namespace, such as shop/orders, or a namespace alone", flag, value)
}

// checkClusterDomain takes a domain, or nothing: then the Corefile says it.
func checkClusterDomain(value string) error {
	if value == "" {
		return nil
	}
	return checkDomains("clusterDomain", value)
}

// checkAddress takes a host that is an address, a name or empty, and a port.
func checkAddress(flag, value string) error {
	_, port, err := net.SplitHostPort(value)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return usageError("--%s=%s: takes an address and a port, such as 127.0.0.1:15000 or :15020", flag, value)
	}
	return nil
}

// checkPaths takes files and folders that are there.
func checkPaths(flag string, paths ...string) error {
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			return usageError("--%s=%s: takes YAML files and folders: %w", flag, path, err)
		}
	}
	return nil
}

// checkLimits takes limits that are all within their bounds.
func checkLimits(l limits.Limits) error {
	if err := l.Check(); err != nil {
		return usageError("--limits.%w", err)
	}
	return nil
}

// checkOptional takes an address, or nothing.
func checkOptional(flag, value string) error {
	if value == "" {
		return nil
	}
	return checkAddress(flag, value)
}

// checkDuration takes what is not less than a least value.
func checkDuration(flag string, value, least time.Duration) error {
	if value < least {
		return usageError("--%s=%s: takes a duration of at least %s", flag, value, least)
	}
	return nil
}

func checkPositive(flag string, value int) error {
	if value <= 0 {
		return usageError("--%s=%d: takes a number above 0", flag, value)
	}
	return nil
}
