package vm

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// TestnetModules are what internal/testnet takes from the kernel: veth and its
// rate limits, and the families of netlink sockets that its library opens.
var TestnetModules = []string{"veth", "sch_tbf", "nfnetlink", "xfrm_user"}

// A modules index finds the files of a kernel's modules. The package of the
// kernel comes without modules.dep, which is made where it is installed: what
// depends on what is read from the modules.
type modules struct {
	files   map[string]string // by name, with underscores
	builtIn map[string]bool   // part of the kernel itself
}

// moduleName is the name of the module in a file, or by which somebody calls
// it. Files have dashes where the kernel has underscores, some of them.
func moduleName(path string) string {
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(path), ".ko"), "-", "_")
}

// findModules indexes the modules below a directory.
func findModules(dir string) (*modules, error) {
	m := &modules{files: make(map[string]string), builtIn: make(map[string]bool)}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case filepath.Ext(path) == ".ko":
			m.files[moduleName(path)] = path
		case d.Name() == "modules.builtin":
			list, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for file := range strings.FieldsSeq(string(list)) {
				m.builtIn[moduleName(file)] = true
			}
		}
		return nil
	})
	return m, err
}

// order returns the files of modules and of all on which they depend, each
// after those that it needs.
func (m *modules) order(names []string) ([]string, error) {
	return inOrder(names, func(name string) (string, []string, error) {
		if m.builtIn[name] {
			return "", nil, nil
		}
		file, ok := m.files[name]
		if !ok {
			return "", nil, fmt.Errorf("the kernel package has no module %s", name)
		}
		needs, err := readDepends(file)
		return file, needs, err
	})
}

// inOrder sorts depth first. look returns a module's file, if it has one, and
// the names of what it needs. The kernel's modules have no circles.
func inOrder(names []string, look func(name string) (file string, needs []string, err error)) (files []string, err error) {
	seen := make(map[string]bool)
	var visit func(name string) error
	visit = func(name string) error {
		name = moduleName(name)
		if seen[name] {
			return nil
		}
		seen[name] = true
		file, needs, err := look(name)
		if err != nil {
			return err
		}
		for _, n := range needs {
			if err := visit(n); err != nil {
				return fmt.Errorf("%w, which %s needs", err, name)
			}
		}
		if file != "" {
			files = append(files, file)
		}
		return nil
	}
	for _, name := range names {
		if err := visit(name); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// readDepends returns what a module's file says that it needs.
func readDepends(file string) ([]string, error) {
	f, err := elf.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("%s is not a kernel module: it has no section .modinfo", file)
	}
	info, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return depends(info), nil
}

// depends reads a module's information: key=value, each ended by a zero octet.
func depends(info []byte) []string {
	for entry := range bytes.SplitSeq(info, []byte{0}) {
		if list, ok := bytes.CutPrefix(entry, []byte("depends=")); ok {
			return strings.FieldsFunc(string(list), func(r rune) bool { return r == ',' })
		}
	}
	return nil
}
