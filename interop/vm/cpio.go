package vm

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// An archive is written in the format "newc" of cpio, in which Linux takes its
// initial file system: a header of hexadecimal numbers, the name and the data,
// the latter two padded to multiples of four octets.
type archive struct {
	w     io.Writer
	inode uint32
	err   error // the first one; what follows it is not written
}

// Types of files, as the mode in a header has them.
const (
	typeDirectory = 0o040000
	typeCharacter = 0o020000
	typeRegular   = 0o100000
	typeSymlink   = 0o120000
)

func (a *archive) directory(name string) { a.add(name, typeDirectory|0o755, 0, 0, nil) }

func (a *archive) file(name string, mode uint32, data []byte) {
	a.add(name, typeRegular|mode, 0, 0, data)
}

func (a *archive) symlink(name, to string) { a.add(name, typeSymlink|0o777, 0, 0, []byte(to)) }

func (a *archive) device(name string, major, minor uint32) {
	a.add(name, typeCharacter|0o600, major, minor, nil)
}

// close ends the archive and returns the first error that there was.
func (a *archive) close() error {
	a.inode = 0
	a.add("TRAILER!!!", 0, 0, 0, nil)
	return a.err
}

func (a *archive) add(name string, mode, major, minor uint32, data []byte) {
	if a.err != nil {
		return
	}
	if uint64(len(data)) >= 1<<32 {
		a.err = fmt.Errorf("%s: too long for an initramfs", name)
		return
	}
	const links = 1
	header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.inode, mode, 0, 0, links, 0, len(data), 0, 0, major, minor, len(name)+1, 0, name)
	a.inode++
	_, err1 := io.WriteString(a.w, header+padding(len(header)))
	_, err2 := a.w.Write(data)
	_, err3 := io.WriteString(a.w, padding(len(data)))
	a.err = errors.Join(err1, err2, err3)
}

func padding(n int) string { return "\x00\x00\x00"[:-n&3] }

// copy adds a file with the contents and the mode of one that is here.
func (a *archive) copy(name, from string) {
	if a.err != nil {
		return
	}
	data, err := os.ReadFile(from)
	if err != nil {
		a.err = err
		return
	}
	info, err := os.Stat(from)
	if err != nil {
		a.err = err
		return
	}
	a.file(name, uint32(info.Mode().Perm()), data)
}
