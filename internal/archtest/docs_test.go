package archtest

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sctpmh/mh/internal/config"
)

// Documents that name tests and keys promise that they exist.
var promising = []string{"docs/self-assessment.md", "docs/noid.md"}

func TestDocumentsNameWhatExists(t *testing.T) {
	const root = "../.."
	for _, name := range promising {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range checkDocument(root, t.TempDir(), string(b)) {
			t.Errorf("%s: %s", name, problem)
		}
	}
}

var (
	// A test stands in a document as PACKAGE.TEST, the package as its folder.
	testName = regexp.MustCompile(`([\w/-]*)(\.?)\b((?:Test|Fuzz|Benchmark)[A-Z]\w*)`)
	codeSpan = regexp.MustCompile("`([^`\n]+)`")
	keyName  = regexp.MustCompile(`^\[*([a-z]+(?:-[a-z]+)*(?:\.[a-z]+(?:-[a-z]+)*)*)\]*(\s*=.*)?$`)
	fenced   = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
)

// checkDocument returns what a document names that is not there: tests below a
// root, and keys of the daemons. dir is a folder for files.
func checkDocument(root, dir, text string) (problems []string) {
	for _, m := range testName.FindAllStringSubmatch(text, -1) {
		folder, test := m[1], m[3]
		if m[2] == "" || folder == "" {
			problems = append(problems, test+" stands without its package")
		} else if found, err := hasTest(filepath.Join(root, folder), test); err != nil || !found {
			problems = append(problems, errors.Join(fmt.Errorf("there is no %s.%s", folder, test), err).Error())
		}
	}
	for _, m := range fenced.FindAllStringSubmatch(text, -1) {
		if m[1] == "toml" {
			problems = append(problems, checkConfiguration(dir, m[2])...)
		}
	}
	keys := make(map[string]bool)
	addKeys(keys, "", reflect.TypeFor[config.Socks]())
	addKeys(keys, "", reflect.TypeFor[config.Gateway]())
	for _, m := range codeSpan.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		if key := keyOf(m[1], keys); key != "" && !keys[key] {
			problems = append(problems, "there is no key "+key)
		}
	}
	return problems
}

// keyOf returns the key that a piece of code names, "" for none: what is
// assigned to, or is in one of the daemons' tables.
func keyOf(code string, keys map[string]bool) string {
	m := keyName.FindStringSubmatch(code)
	if m == nil {
		return ""
	}
	table, _, dotted := strings.Cut(m[1], ".")
	if m[2] != "" || dotted && keys[table] || strings.HasPrefix(code, "[") {
		return m[1]
	}
	return ""
}

// addKeys adds the keys of a configuration, with their tables.
func addKeys(keys map[string]bool, table string, t reflect.Type) {
	for t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return
	}
	for f := range t.Fields() {
		tag := f.Tag.Get("toml")
		if tag == "" {
			if f.Anonymous {
				addKeys(keys, table, f.Type)
			}
			continue
		}
		keys[table+tag] = true
		addKeys(keys, table+tag+".", f.Type)
	}
}

// checkConfiguration reports a piece of configuration that no daemon takes.
func checkConfiguration(dir, text string) []string {
	file := filepath.Join(dir, "mh.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return []string{err.Error()}
	}
	_, socks := config.LoadSocks(file)
	_, gateway := config.LoadGateway(file)
	if socks != nil && gateway != nil {
		return []string{fmt.Sprintf("no daemon takes this: %v; %v:\n%s", socks, gateway, text)}
	}
	return nil
}

// hasTest reports whether the tests in a folder have a function.
func hasTest(folder, test string) (bool, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		return false, err
	}
	set := token.NewFileSet()
	for _, file := range files {
		f, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(f.Decls, func(d ast.Decl) bool {
			fn, ok := d.(*ast.FuncDecl)
			return ok && fn.Recv == nil && fn.Name.Name == test
		}) {
			return true, nil
		}
	}
	return false, nil
}

// What is not there is found, and what is there is not.
func TestDocumentChecksFind(t *testing.T) {
	for text, want := range map[string]string{
		"`internal/archtest.TestStructure`, `dns.trust`, `dns.trust = \"strict\"`, `[egress]`, `egress.allow`, `nsupdate`": "",
		"`internal/archtest.TestNothing`":                    "there is no internal/archtest.TestNothing",
		"`internal/nowhere.TestStructure`":                   "there is no internal/nowhere.TestStructure",
		"TestStructure shows it":                             "TestStructure stands without its package",
		"FuzzNothing":                                        "FuzzNothing stands without its package",
		"`dns.trsut`":                                        "there is no key dns.trsut",
		"`trust = \"strict\"`":                               "there is no key trust",
		"`[[servcie]]`":                                      "there is no key servcie",
		"```toml\n[dns]\ntrust = \"strict\"\n```\n":          "",
		"```toml\n[dns]\ntrsut = \"strict\"\n```\n":          "no daemon takes this",
		"```toml\n[dns]\ntrust = \"very\"\n```\n":            "no daemon takes this",
		"```\nfoo = bar\n```\n`private-zones`, `claim`, `A`": "",
	} {
		got := strings.Join(checkDocument("../..", t.TempDir(), text), "\n")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q: found %q, want %q", text, got, want)
		}
	}
}
