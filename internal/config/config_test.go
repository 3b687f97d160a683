package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/weft-mesh/weft/internal/config"
)

type sample struct {
	Manifests  []string `description:"Files."`
	PortOffset uint16   `description:"Added to every port."`
	DNS        struct {
		Address string `description:"Where the DNS server listens."`
	}
	Drain struct {
		Delay time.Duration
	}
	Verbose bool
	Bytes   int
}

func defaults() *sample {
	s := &sample{}
	s.DNS.Address = "127.0.0.1:1053"
	s.Drain.Delay = 5 * time.Second
	return s
}

// A flag wins over what the environment and the file say of the field that it
// excludes; two such flags contradict each other.
func TestAFlagExcludesWhatOtherPlacesSay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weft.yaml")
	if err := os.WriteFile(path, []byte("admin: file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	type Asking struct {
		Kubeconfig string
		Admin      string `excludes:"Kubeconfig"`
	}
	for _, test := range []struct {
		args, environ []string
		want          Asking
		err           string
	}{
		{nil, []string{"WEFT_ADMIN=a", "WEFT_KUBECONFIG=k"}, Asking{"k", "a"}, ""},
		{[]string{"--Kubeconfig=flag"}, []string{"WEFT_ADMIN=a", "WEFT_KUBECONFIG=k"}, Asking{"flag", ""}, ""},
		{[]string{"--kubeconfig=flag", "--configFile", path}, nil, Asking{"flag", ""}, ""},
		{[]string{"--admin", "flag"}, []string{"WEFT_KUBECONFIG=k"}, Asking{"", "flag"}, ""},
		{[]string{"--admin=a", "--kubeconfig=k"}, nil, Asking{}, "--admin and --kubeconfig: give one of them"},
	} {
		got := struct{ Asking }{}
		err := config.Load(&got, test.args, test.environ)
		if said := fmt.Sprint(err); (err != nil || test.err != "") && said != test.err {
			t.Errorf("%q %q: error %v; want %q", test.args, test.environ, err, test.err)
		}
		if diff := cmp.Diff(test.want, got.Asking); err == nil && diff != "" {
			t.Errorf("%q %q: %s", test.args, test.environ, diff)
		}
	}
}

func TestLaterPlacesWin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weft.yaml")
	if err := os.WriteFile(path, []byte("portOffset: 1\nbytes: 10000000\nmanifests: [x, y]\ndns:\n  address: file\ndrain:\n  delay: 1s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := defaults()
	err := config.Load(got,
		[]string{"--configFile", path, "--dns.address=flag", "--manifests", "a,b", "--manifests=c", "--verbose"},
		[]string{"WEFT_DNS_ADDRESS=env", "WEFT_PORTOFFSET=2", "WEFT_SERVICE_HOST=10.0.0.1", "HOME=/"})
	if err != nil {
		t.Fatal(err)
	}
	want := &sample{Manifests: []string{"a", "b", "c"}, PortOffset: 2, Verbose: true, Bytes: 10_000_000}
	want.DNS.Address = "flag"
	want.Drain.Delay = time.Second
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDefaultsStandWhereNothingIsSaid(t *testing.T) {
	got := defaults()
	if err := config.Load(got, nil, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(defaults(), got); diff != "" {
		t.Error(diff)
	}
}

func TestAWrongValueNamesTheFlagAndWhatItTakes(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("portOffset: [\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := func(content string) string {
		path := filepath.Join(t.TempDir(), "weft.yaml")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct {
		args, environ []string
		want          []string
	}{
		{args: []string{"--configFile", file("portOffset: 1\nnope: 2\n")}, want: []string{"--nope", "no such flag"}},
		{args: []string{"--configFile", file("drain: {delay: soon}\n")}, want: []string{"drain.delay: soon", "--drain.delay", "duration"}},
		{args: []string{"--configFile", file("drain: {slowly: true}\n")}, want: []string{"--drain.slowly", "no such flag"}},
		{args: []string{"--portOffset=x"}, want: []string{"--portOffset", "whole number from 0 to 65535"}},
		{args: []string{"--portOffset", "70000"}, want: []string{"--portOffset", "whole number"}},
		{args: []string{"--drain.delay=5"}, want: []string{"--drain.delay=5: ", "a duration such as"}},
		{environ: []string{"WEFT_DRAIN_DELAY=5000"}, want: []string{"--drain.delay=5000: ", "a duration such as"}},
		{args: []string{"--configFile", file("drain: {delay: 5}\n")}, want: []string{"--drain.delay=5: ", "a duration such as"}},
		{environ: []string{"WEFT_DRAIN_DELAY=soon"}, want: []string{"WEFT_DRAIN_DELAY", "--drain.delay", "duration"}},
		{args: []string{"--verbose=maybe"}, want: []string{"--verbose", "true or false"}},
		{args: []string{"--colour=red"}, want: []string{"--colour", "no such flag"}},
		{args: []string{"orders.yaml"}, want: []string{"orders.yaml", "not a flag"}},
		{args: []string{"--verbose", "orders.yaml"}, want: []string{"orders.yaml", "not a flag"}},
		{args: []string{"--configFile", "/does/not/exist.yaml"}, want: []string{"--configFile", "/does/not/exist.yaml"}},
		{args: []string{"--configFile", bad}, want: []string{"--configFile", bad}},
	} {
		err := config.Load(defaults(), test.args, test.environ)
		if err == nil {
			t.Errorf("%v %v: no error", test.args, test.environ)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v %v: error %q lacks %q", test.args, test.environ, err, want)
			}
		}
	}
}

type placed struct {
	Kind  string `argument:"KIND" description:"What." oneOf:"svc ns"`
	Name  string `argument:"[NAME]" description:"Which."`
	Watch bool   `short:"w"`
	Shown
}

type Shown struct {
	Output string `short:"o" description:"How." oneOf:"table wide json yaml"`
}

func shown(output string) Shown { return Shown{output} }

func TestArgumentsGoWhereTheirPlaceSays(t *testing.T) {
	for _, test := range []struct {
		args []string
		want placed
		err  string
	}{
		{args: []string{"svc"}, want: placed{Kind: "svc", Shown: shown("table")}},
		{args: []string{"-o", "json", "svc", "--watch", "orders"}, want: placed{Kind: "svc", Name: "orders", Shown: shown("json"), Watch: true}},
		{args: []string{"svc", "-w", "orders", "-o=yaml"}, want: placed{Kind: "svc", Name: "orders", Watch: true, Shown: shown("yaml")}},
		{args: []string{"--output=wide", "--", "svc", "-w"}, want: placed{Kind: "svc", Name: "-w", Shown: shown("wide")}},
		{args: nil, err: "KIND is missing"},
		{args: []string{"ns", "b", "c"}, err: `"c" is one argument too many`},
		{args: []string{"pod"}, err: `"pod": KIND takes svc or ns`},
		{args: []string{"ns", "-o", "xml"}, err: `--output=xml: --output takes table, wide, json or yaml`},
		{args: []string{"ns", "-x=1"}, err: "--x: there is no such flag"},
		{args: []string{"ns", "--nope"}, err: "--nope: there is no such flag"},
		{args: []string{"ns", "-o"}, err: "--output takes table, wide, json or yaml"},
	} {
		got := placed{Shown: shown("table")}
		err := config.Load(&got, test.args, nil)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%q: error %v; want %q", test.args, err, test.err)
			}
			continue
		}
		if err != nil || got != test.want {
			t.Errorf("%q: %+v, %v; want %+v", test.args, got, err, test.want)
		}
	}
}

func TestHelpShowsArgumentsAndShortFlags(t *testing.T) {
	var out strings.Builder
	config.Help(&out, &placed{Shown: shown("table")})
	for _, want := range []string{"KIND ", "[NAME] ", "Which.", "-o, --output=table"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("help lacks %q:\n%s", want, out.String())
		}
	}
}

func TestHelpNamesEveryOptionWithItsDefault(t *testing.T) {
	var out strings.Builder
	config.Help(&out, defaults())
	for _, want := range []string{"--manifests", "--portOffset", "WEFT_PORTOFFSET", "--dns.address", "127.0.0.1:1053", "--drain.delay", "5s", "--configFile"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("help lacks %q:\n%s", want, out.String())
		}
	}
}
