// Package vm runs programs on a Linux kernel of Debian's in a virtual machine,
// next to a program that has no such kernel itself: one with SCTP, to which we
// talk as to a foreign peer, or on which our own tests run.
//
//	vm.Fetch(ctx)                     // the kernel, once, where there is a network
//	vm.Build(ctx, "github.com/sctpmh/mh/interop/linuxpeer", file)
//	m, err := vm.Start(ctx, vm.Config{
//		Modules: []string{"sctp"},
//		Files:   map[string]string{"linuxpeer": file},
//		NICs:    []vm.NIC{{Addrs: addrs}},
//	})
//	peer, err := m.Start(vm.Program{Args: []string{"/linuxpeer"}})
//	fmt.Fprintln(peer, "listen port=5000 udp=9899 from=10.1.0.2")
//	line, err := bufio.NewReader(peer).ReadString('\n')
//
// A guest boots in about two seconds, from nothing but a kernel and an archive
// of files in memory, and runs as many programs as one likes, at once or one
// after another. It has no disk, no shell and no tools.
//
// The host needs no privileges and nothing but qemu and a Go toolchain. The
// processor is emulated (TCG): /dev/kvm may be there and yet not run this
// kernel. Expect a tenth of the machine's speed.
//
// # Networks
//
// A NIC's other end is a TAP device's descriptor or a [Frames], on which this
// process reads and writes what is on the cable, as a stream over a socket:
// nothing is lost there, and a reader who falls behind stops the guest's
// queue. No device has offloads: every checksum on the cable is real.
//
// # What is left behind
//
// Nothing but the kernel in the user's cache directory. The emulator is killed
// with its parent, however that ends; it holds no name, no file and no device.
package vm
