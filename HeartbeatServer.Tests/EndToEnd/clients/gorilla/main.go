// gorilla/websocket: gorilla URL MODE
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

func main() {
	url, mode := os.Args[1], os.Args[2]
	dialer := *websocket.DefaultDialer
	if mode == "offer" {
		dialer.Subprotocols = []string{"mqtt", "mqttv3.1"}
	}
	socket, _, err := dialer.Dial(url, nil)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	defer socket.Close()
	fmt.Println(strings.TrimSpace("open " + socket.Subprotocol()))
	if mode == "echo" && echo(socket) {
		fmt.Println("echoed")
		// A goroutine of its own: pings are answered while the main one reads.
		time.AfterFunc(1500*time.Millisecond, func() {
			goodbye := websocket.FormatCloseMessage(3001, "see you later")
			socket.WriteControl(websocket.CloseMessage, goodbye, time.Now().Add(time.Second))
		})
	}
	_, _, err = socket.ReadMessage()
	var closed *websocket.CloseError
	if errors.As(err, &closed) {
		fmt.Println("closed", closed.Code, closed.Text)
	} else {
		fmt.Println("closed 1006", err)
	}
}

func echo(socket *websocket.Conn) bool {
	for _, size := range []int{0, 1, 125, 126, 65535, 65536, 1048576} {
		text := []byte(strings.Repeat("\u00e9", size/2) + strings.Repeat("x", size%2))
		binary := make([]byte, size)
		for i := range binary {
			binary[i] = byte(i * 7)
		}
		for kind, sent := range map[int][]byte{websocket.TextMessage: text, websocket.BinaryMessage: binary} {
			if err := socket.WriteMessage(kind, sent); err != nil {
				fmt.Println("error", err)
				return false
			}
			if came, echo, err := socket.ReadMessage(); err != nil || came != kind || !bytes.Equal(echo, sent) {
				fmt.Println("wrong echo of", size, "bytes as kind", kind, err)
				return false
			}
		}
	}
	return true
}
