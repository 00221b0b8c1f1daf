// Package archtest fails the build when the structure of the project is
// broken: an import that runs the wrong way, a clock in the pure core, a file
// or struct that has outgrown its concern.
package archtest

import (
	"fmt"
	"go/ast"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

const module = "github.com/sctpmh/mh"

// layers is who may import whom within the module. A package that is not
// listed is a leaf or a program and is judged by programs below.
var layers = map[string][]string{
	"sctpmh/internal/wire":      nil,
	"sctpmh/internal/addrwatch": nil,
	"sctpmh/internal/engine":    {"sctpmh/internal/wire"},
	"sctpmh/internal/difftest":  nil,
	"sctpmh/internal/udp":       nil,
	"sctpmh/internal/kernel":    nil,
	"sctpmh":                    {"sctpmh/internal/engine", "sctpmh/internal/wire", "sctpmh/internal/udp", "sctpmh/internal/kernel", "sctpmh/internal/addrwatch", "internal/datagram", "internal/gate"},
	"tcpemu":                    {"sctpmh", "internal/gate"},
	"noid":                      {"noid/internal/dnssec"},
	"noid/internal/dnssec":      nil,
	"internal/gate":             nil,
	"internal/datagram":         nil,
	"internal/netsim":           {"internal/datagram"},
	"internal/testnet":          nil,
	"internal/dnstest":          nil,
	"internal/dnsreal":          nil,
	"internal/socks5":           nil,
	"internal/splice":           nil,
	"internal/ftp":              nil,
	"internal/config":           {"noid"},
	"internal/egress":           {"internal/config", "noid"},
	"internal/mhdial":           {"noid", "tcpemu"},
	"internal/daemon":           {"internal/config", "internal/mhdial", "internal/splice", "noid", "sctpmh", "tcpemu"},
	"internal/explain":          {"noid"},
	"internal/publish":          {"noid", "sctpmh"},
	"internal/proxy":            {"internal/config", "internal/daemon", "internal/ftp", "internal/socks5", "tcpemu"},
	"internal/gateway":          {"internal/config", "internal/daemon", "internal/egress", "internal/ftp", "tcpemu"},
	"internal/clitest":          nil,
	"internal/conformance":      nil,
	"internal/lab":              {"internal/dnstest", "internal/testnet"},
	"internal/demo":             {"internal/lab", "internal/testnet"},
	"internal/doctor":           {"internal/config", "noid"},
	"internal/failbench":        {"internal/testnet", "sctpmh"},
	"internal/workload":         nil,
	"internal/cuttest":          {"internal/lab", "internal/testnet", "internal/workload", "sctpmh", "tcpemu"},
	"interop":                   {"interop/pattern", "interop/usrsctp", "interop/vm", "internal/testnet", "sctpmh", "tcpemu"},
	"interop/linuxpeer":         {"interop/pattern"},
	"interop/nameservers":       nil,
	"interop/pattern":           nil,
	"interop/pionpeer":          {"interop/pattern"},
	"interop/usrsctp":           {"interop/pattern", "internal/testnet"},
	"interop/vm":                {"interop/vm/talk", "internal/testnet"},
	"interop/vm/init":           {"interop/vm/talk"},
	"interop/vm/talk":           nil,
	"cmd/mh-socks":              {"internal/config", "internal/daemon", "internal/proxy"},
	"cmd/mh-gw":                 {"internal/config", "internal/daemon", "internal/gateway", "internal/publish", "noid"},
	"cmd/mh":                    {"internal/config", "internal/daemon", "internal/demo", "internal/doctor", "internal/explain", "internal/publish", "noid", "sctpmh"},
}

// light are the packages that others build on: outside the standard library
// they import these modules only.
var (
	light   = []string{"sctpmh", "tcpemu", "noid"}
	allowed = []string{"golang.org/x/sys", "golang.org/x/net", "golang.org/x/crypto", "github.com/miekg/dns", "github.com/ishidawataru/sctp"}
)

// pure are the packages without clock, goroutines, locks, sockets or
// randomness of their own.
var pure = []string{"sctpmh/internal/wire", "sctpmh/internal/engine"}

func load(t *testing.T) []*packages.Package {
	t.Helper()
	cfg := &packages.Config{Mode: packages.NeedName | packages.NeedFiles | packages.NeedImports | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedDeps, Dir: "../.."}
	all, err := packages.Load(cfg, "./...")
	if err != nil {
		t.Fatal(err)
	}
	if packages.PrintErrors(all) > 0 {
		t.Fatal("packages do not load")
	}
	return all
}

func relative(path string) string { return strings.TrimPrefix(path, module+"/") }

func TestStructure(t *testing.T) {
	for _, p := range load(t) {
		for _, problem := range check(p) {
			t.Error(problem)
		}
	}
}

// check returns what is wrong with a package.
func check(p *packages.Package) (problems []string) {
	name := relative(p.PkgPath)
	may, listed := layers[name]
	if !listed && name != "internal/e2e" && name != "internal/archtest" {
		problems = append(problems, name+" is not in the table of layers: add it where it belongs")
	}
	for path := range p.Imports {
		problems = append(problems, checkImport(name, path, may)...)
	}
	for _, f := range p.Syntax {
		problems = append(problems, checkStructs(p, f)...)
		if slices.Contains(pure, name) {
			problems = append(problems, checkPure(p, f)...)
		}
	}
	slices.Sort(problems)
	return problems
}

func checkImport(name, path string, may []string) (problems []string) {
	if inner := relative(path); inner != path {
		if !slices.Contains(may, inner) {
			problems = append(problems, fmt.Sprintf("%s imports %s, which is not below it", name, inner))
		}
		return problems
	}
	base := strings.Split(name, "/")[0]
	outside := strings.Contains(strings.Split(path, "/")[0], ".")
	in := func(m string) bool { return path == m || strings.HasPrefix(path, m+"/") }
	if slices.Contains(light, base) && outside && !slices.ContainsFunc(allowed, in) {
		problems = append(problems, fmt.Sprintf("%s is a light package and imports %s", name, path))
	}
	if slices.Contains(pure, name) && slices.Contains([]string{"sync", "sync/atomic", "net", "os", "crypto/tls", "crypto/rand", "context"}, path) {
		problems = append(problems, fmt.Sprintf("%s is pure and imports %s", name, path))
	}
	return problems
}

const maxFields = 25

// checkStructs finds structs that should be split into sub-states.
func checkStructs(p *packages.Package, f *ast.File) (problems []string) {
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if s, ok := spec.Type.(*ast.StructType); ok && s.Fields.NumFields() > maxFields {
			problems = append(problems, fmt.Sprintf("%v: struct %s has %d fields, at most %d", p.Fset.Position(spec.Pos()), spec.Name, s.Fields.NumFields(), maxFields))
		}
		return true
	})
	return problems
}

// checkPure finds what the pure core must not do.
func checkPure(p *packages.Package, f *ast.File) (problems []string) {
	ast.Inspect(f, func(n ast.Node) bool {
		where := func(what string) {
			problems = append(problems, fmt.Sprintf("%v: %s in the pure core", p.Fset.Position(n.Pos()), what))
		}
		switch n := n.(type) {
		case *ast.GoStmt:
			where("a goroutine")
		case *ast.SelectStmt, *ast.SendStmt:
			where("a channel")
		case *ast.RangeStmt:
			if _, isMap := p.TypesInfo.TypeOf(n.X).Underlying().(*types.Map); isMap {
				where("iteration over a map")
			}
		case *ast.SelectorExpr:
			if fn, ok := p.TypesInfo.Uses[n.Sel].(*types.Func); ok && fn.Pkg() != nil && fn.Signature().Recv() == nil {
				switch name := fn.Pkg().Path() + "." + fn.Name(); {
				case name == "time.Now" || name == "time.Since" || name == "time.Sleep" || name == "time.After" || name == "time.AfterFunc" || name == "time.NewTimer":
					where(name)
				case fn.Pkg().Path() == "math/rand/v2" && !strings.HasPrefix(fn.Name(), "New"), fn.Pkg().Path() == "math/rand":
					where("global randomness, " + name)
				}
			}
		}
		return true
	})
	return problems
}

const maxLines = 600

func TestFilesAreShort(t *testing.T) {
	err := filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		b, err := os.ReadFile(path)
		if n := strings.Count(string(b), "\n"); n > maxLines {
			t.Errorf("%s has %d lines, at most %d: it holds more than one concern", path, n, maxLines)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The checks find what they are for.
func TestChecksFind(t *testing.T) {
	const bad = `package engine

import (
	"math/rand/v2"
	"sync"
	"time"
)

var mu sync.Mutex

func f(m map[int]int) {
	go f(nil)
	_ = time.Now()
	_ = rand.IntN(3)
	for range m {
	}
}
`
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module " + module + "/sctpmh/internal/engine\n\ngo 1.26\n", "bad.go": bad} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := &packages.Config{Mode: packages.NeedName | packages.NeedFiles | packages.NeedImports | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedDeps, Dir: dir}
	all, err := packages.Load(cfg, ".")
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	found := strings.Join(check(all[0]), "\n")
	for _, want := range []string{"imports sync", "a goroutine", "time.Now", "global randomness", "iteration over a map"} {
		if !strings.Contains(found, want) {
			t.Errorf("%q is not found:\n%s", want, found)
		}
	}
	if len(checkImport("noid", module+"/sctpmh", nil)) == 0 || len(checkImport("tcpemu", "github.com/spf13/cobra", nil)) == 0 {
		t.Error("wrong imports are not found")
	}
}
