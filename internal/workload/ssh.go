package workload

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// What the SSH server of these tests knows of.
const (
	sshUser = "user"
	sshEcho = "echo.example:7" // what can be reached through it
)

// SSH is a client and a server of golang.org/x/crypto/ssh that log in by key:
// ten sessions at once, forwarded connections (direct-tcpip, RFC 4254 section
// 7.2), keys exchanged anew while data flows.
func SSH(t *testing.T, open Open) {
	n := open(t)
	s := newSSHServer(t)
	var serving sync.WaitGroup
	serving.Go(func() { // ends when the listener is closed
		for {
			c, err := n.Listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { s.serve(c) }) // ends with its client
		}
	})
	t.Cleanup(func() { n.Listener.Close(); serving.Wait() })
	t.Run("a stranger's key", func(t *testing.T) {
		if c, err := s.login(t, n, newSSHKey(t)); err == nil {
			c.Close()
			t.Error("a stranger is let in")
		}
	})
	c, err := s.login(t, n, s.user)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Run("sessions", func(t *testing.T) { sshSessions(t, c) })
	t.Run("forwarding", func(t *testing.T) { sshForward(t, c) })
	t.Run("keepalive", func(t *testing.T) {
		if _, _, err := c.SendRequest("keepalive@openssh.com", true, nil); err != nil {
			t.Error(err)
		}
	})
}

// sshSessions has ten sessions run "cat" at once.
func sshSessions(t *testing.T, c *ssh.Client) {
	const sessions, size = 10, 128 << 10
	var wg sync.WaitGroup
	for i := range sessions {
		wg.Go(func() { // ends with the session
			s, err := c.NewSession()
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			s.Stdin = content(uint64(30+i), size)
			out, err := s.StdoutPipe()
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Start("cat"); err != nil {
				t.Error(err)
				return
			}
			wantContent(t, fmt.Sprint("session ", i), out, uint64(30+i), size)
			if err := s.Wait(); err != nil {
				t.Errorf("session %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var exit *ssh.ExitError
	if err := s.Run("false"); !errors.As(err, &exit) || exit.ExitStatus() != 1 {
		t.Errorf("the status of a command that fails: %v", err)
	}
}

// sshForward has ten connections forwarded at once, and one refused.
func sshForward(t *testing.T, c *ssh.Client) {
	const conns, size = 10, 128 << 10
	var wg sync.WaitGroup
	for i := range conns {
		wg.Go(func() { // ends with the connection
			f, err := c.Dial("tcp", sshEcho)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			wg.Go(func() { // ends when all is written
				if _, err := io.Copy(f, content(uint64(50+i), size)); err != nil {
					t.Error(err)
				}
				if err := closeWrite(f); err != nil {
					t.Error(err)
				}
			})
			wantContent(t, fmt.Sprint("forwarded connection ", i), f, uint64(50+i), size)
		})
	}
	wg.Wait()
	var refused *ssh.OpenChannelError
	if _, err := c.Dial("tcp", "elsewhere.example:7"); !errors.As(err, &refused) || refused.Reason != ssh.ConnectionFailed {
		t.Errorf("what cannot be reached: %v", err)
	}
}

// sshServer lets one user in.
type sshServer struct {
	host, user ssh.Signer
	config     *ssh.ServerConfig
}

// rekey is after how many octets keys are exchanged anew: often.
var rekey = ssh.Config{RekeyThreshold: 256 << 10}

func newSSHServer(t *testing.T) *sshServer {
	s := &sshServer{host: newSSHKey(t), user: newSSHKey(t)}
	s.config = &ssh.ServerConfig{
		Config: rekey,
		PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if c.User() != sshUser || string(key.Marshal()) != string(s.user.PublicKey().Marshal()) {
				return nil, errors.New("not this user's key")
			}
			return nil, nil
		},
	}
	s.config.AddHostKey(s.host)
	return s
}

func newSSHKey(t *testing.T) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// login connects with a key.
func (s *sshServer) login(t *testing.T, n Net, key ssh.Signer) (*ssh.Client, error) {
	t.Helper()
	c, chans, reqs, err := ssh.NewClientConn(n.connect(t), Address, &ssh.ClientConfig{
		Config:          rekey,
		User:            sshUser,
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(key)},
		HostKeyCallback: ssh.FixedHostKey(s.host.PublicKey()),
	})
	if err != nil {
		return nil, err
	}
	return ssh.NewClient(c, chans, reqs), nil
}

// serve is one client.
func (s *sshServer) serve(c net.Conn) {
	conn, chans, reqs, err := ssh.NewServerConn(c, s.config)
	if err != nil {
		c.Close()
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { ssh.DiscardRequests(reqs) }) // ends with the client
	for ch := range chans {
		wg.Go(func() { serveSSHChannel(ch) }) // ends with the channel
	}
	conn.Close()
	wg.Wait()
}

func serveSSHChannel(n ssh.NewChannel) {
	switch n.ChannelType() {
	case "session":
		if ch, reqs, err := n.Accept(); err == nil {
			serveSSHSession(ch, reqs)
		}
	case "direct-tcpip":
		var to struct {
			Host       string
			Port       uint32
			OriginHost string
			OriginPort uint32
		}
		if err := ssh.Unmarshal(n.ExtraData(), &to); err != nil || fmt.Sprintf("%s:%d", to.Host, to.Port) != sshEcho {
			n.Reject(ssh.ConnectionFailed, "no route to it")
			return
		}
		if ch, reqs, err := n.Accept(); err == nil {
			go ssh.DiscardRequests(reqs) // ends with the channel
			io.Copy(ch, ch)
			ch.CloseWrite()
			ch.Close()
		}
	default:
		n.Reject(ssh.UnknownChannelType, n.ChannelType())
	}
}

// serveSSHSession runs one command, cat or false.
func serveSSHSession(ch ssh.Channel, reqs <-chan *ssh.Request) {
	defer ch.Close()
	for r := range reqs {
		var command struct{ Text string }
		if r.Type != "exec" || ssh.Unmarshal(r.Payload, &command) != nil {
			r.Reply(false, nil)
			continue
		}
		r.Reply(true, nil)
		status := uint32(1)
		if strings.TrimSpace(command.Text) == "cat" {
			if _, err := io.Copy(ch, ch); err == nil {
				status = 0
			}
		}
		ch.CloseWrite()
		ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
		return
	}
}
