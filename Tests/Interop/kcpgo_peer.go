// kcp-go as the other end of kcp-peer:
//
//	kcpgo_peer PORT [name=number ...]
//
// Prints "ok" when everything arrived unaltered, then goes on until its standard input is closed.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/xtaci/kcp-go"
)

var options = map[string]int{
	"conv": 0x12345678, "bytes": 1000000, "stream": 1, "nodelay": 1, "interval": 10, "resend": 2,
	"nc": 1, "window": 256, "mtu": 1400, "boundaries": 0, "seconds": 20,
}

type payload struct {
	state    uint32
	messages int
}

func (p *payload) next() byte {
	p.state = (p.state*1103515245 + 12345) & 0x7FFFFFFF
	return byte(p.state >> 16)
}

func (p *payload) nextSize() int {
	p.messages++
	return 1 + p.messages*997%3000
}

func send(session *kcp.UDPSession, total int) {
	source := payload{state: 2}
	for sent := 0; sent < total; {
		size := source.nextSize()
		if size > total-sent {
			size = total - sent
		}
		message := make([]byte, size)
		for index := range message {
			message[index] = source.next()
		}
		if _, err := session.Write(message); err != nil {
			fmt.Println("write:", err)
			os.Exit(1)
		}
		sent += size
	}
}

func receive(session *kcp.UDPSession, total int) string {
	expected := payload{state: 1}
	buffer := make([]byte, 65536)
	received := 0
	for received < total {
		count, err := session.Read(buffer)
		if err != nil {
			return fmt.Sprint("read: ", err)
		}
		for _, value := range buffer[:count] {
			if value != expected.next() {
				return fmt.Sprint("wrong byte near ", received)
			}
		}
		received += count
	}
	if received > total {
		return "too much"
	}
	return "ok"
}

func main() {
	port, _ := strconv.Atoi(os.Args[1])
	for _, argument := range os.Args[2:] {
		parts := strings.SplitN(argument, "=", 2)
		options[parts[0]], _ = strconv.Atoi(parts[1])
	}
	link, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	remote := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}
	session, err := kcp.NewConn3(uint32(options["conv"]), remote, nil, 0, 0, link)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	session.SetMtu(options["mtu"])
	session.SetStreamMode(options["stream"] != 0)
	session.SetWindowSize(options["window"], options["window"])
	session.SetNoDelay(options["nodelay"], options["interval"], options["resend"], options["nc"])
	go send(session, options["bytes"])
	go func() {
		verdict := receive(session, options["bytes"])
		fmt.Println(verdict)
		if verdict != "ok" {
			os.Exit(1)
		}
	}()
	io.Copy(io.Discard, os.Stdin)
}
